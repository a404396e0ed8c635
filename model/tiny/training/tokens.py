"""The tokenizer: byte-level BPE, trained on the corpus.

Ids 0 to 11 are Falcon's special tokens, 11 ends a text. A line feed is a token of its own, and so is
"[" wherever the corpus has it, so a turn's end can be seen in the ids. A word takes its apostrophe
along ("qu'", " l'"), since French has so many.
"""

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

SPECIAL = [">>TITLE<<", ">>ABSTRACT<<", ">>INTRODUCTION<<", ">>SUMMARY<<", ">>COMMENT<<",
           ">>ANSWER<<", ">>QUESTION<<", ">>DOMAIN<<", ">>PREFIX<<", ">>SUFFIX<<", ">>MIDDLE<<",
           "<|endoftext|>"]
END = 11
PIECES = r"\n| ?\p{L}+'?|\p{N}| ?[^\s\p{L}\p{N}]+|\s"


def train_tokenizer(texts: list[str], vocab: int) -> Tokenizer:
    """A tokenizer of exactly `vocab` tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PIECES), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab, special_tokens=SPECIAL, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(texts, trainer)
    if tokenizer.get_vocab_size() != vocab:
        raise ValueError(f"{vocab} tokens wanted, {tokenizer.get_vocab_size()} found")
    return tokenizer
