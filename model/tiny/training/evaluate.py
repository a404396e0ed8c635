"""How good a model is: loss on held-back conversations, and samples to read.

Sampling is Clairon's default: temperature 0.7, top-k 40, top-p 0.95, repetition penalty 1.1.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from falcon import Falcon
from tokens import END

CARD = "Bonjour Dominique, qu'allez-vous nous cuisiner aujourd'hui ?"
PROMPTS = [
    f"- {CARD}\n- Bonjour Camille,",
    f"[Intervenant 1:] {CARD}\n[Intervenant 2:] Bonjour Camille,",
    f"[Camille:] {CARD}\n[Dominique:] Bonjour Camille,",
    f"[Mme Camille Durand:] {CARD}\n[Mr. Dominique Petit:] Bonjour Camille,",
    "Mesdames et messieurs les députés, chers collègues, bonsoir. Vous l'aurez peut-être remarqué,"
    " je cite rarement",
    "- Bonjour, je voudrais un aller-retour pour Lyon, s'il vous plaît.\n-",
    "- Pardon, madame, le train pour Nice est déjà parti ?\n-",
    "[Intervenant 1:] Bonjour docteur, j'ai mal au dos depuis lundi.\n[Intervenant 2:]",
    "[Élise:] Quel temps fait-il chez vous ?\n[Bruno:]",
    "[Intervenant 1:] Tu as bien travaillé à l'école aujourd'hui ?\n[Intervenant 2:]",
    "- Vous avez aimé la pièce ?\n-",
    "[Mme Nadia Benali:] Bien, tout le monde est là. Nous devons parler du budget.\n"
    "[M. Paul Faure:]",
    "- Salut ! Ça va ?\n-",
    "[Intervenant 1:] Vous êtes boulangère depuis longtemps ?\n[Intervenant 2:]",
    "- Bonjour, une baguette et deux croissants, s'il vous plaît.\n-",
    "[Léa:] Allô, Thomas ? C'est Léa.\n[Thomas:]",
    "- Excusez-moi, où est la poste ?\n-",
    "[Intervenant 1:] Comment t'appelles-tu ?\n[Intervenant 2:]",
    "Quand j'étais petite,",
    "Il était une fois un petit renard",
    "[Claire:] Qu'est-ce que tu lis en ce moment ?\n[Hugo:]",
    "[Intervenant 1:] Bonsoir, une table pour deux ?\n[Intervenant 2:]",
    "[Vous:] Bonjour, qui êtes-vous ?\n[Claire:]",
    "- qu'est-ce que tu fais ce soir\n-",
    "- Au revoir, et merci pour tout !\n-",
]


@torch.no_grad()
def held_back_loss(model: Falcon, conversations: list[list[int]], device: torch.device) -> float:
    """Mean loss a token, in nats; each conversation starts at position 0, as it will be used."""
    model.eval()
    total = count = 0.0
    ordered = sorted(conversations, key=len)
    for start in range(0, len(ordered), 64):
        rows = ordered[start:start + 64]
        width = max(map(len, rows))
        ids = torch.full((len(rows), width), END)
        wanted = torch.full((len(rows), width), -100)
        for row, conversation in enumerate(rows):
            tokens = torch.tensor(conversation)
            ids[row, :len(tokens)], wanted[row, :len(tokens)] = tokens, tokens
        logits = model(ids.to(device))[:, :-1]
        target = wanted[:, 1:].to(device)
        total += F.cross_entropy(logits.flatten(0, 1).float(), target.flatten(),
                                 reduction="sum").item()
        count += (target >= 0).sum().item()
    return total / count


@torch.no_grad()
def sample(model: Falcon, ids: list[int], length: int, seed: int, device: torch.device,
           greedy: bool = False) -> list[int]:
    """Up to `length` new ids, without the one that ends a text."""
    model.eval()
    generator = torch.Generator().manual_seed(seed)
    made = list(ids)
    for _ in range(length):
        logits = model(torch.tensor([made], device=device))[0, -1].float().cpu()
        token = int(logits.argmax()) if greedy else draw(logits, made, generator)
        if token == END:
            break
        made.append(token)
    return made[len(ids):]


def draw(logits: Tensor, context: list[int], generator: torch.Generator) -> int:
    seen = torch.tensor(sorted(set(context)))
    logits[seen] = torch.where(logits[seen] > 0, logits[seen] / 1.1, logits[seen] * 1.1)
    values, tokens = torch.topk(logits / 0.7, min(40, len(logits)))
    probabilities = torch.softmax(values, 0)
    keep = probabilities.cumsum(0) - probabilities < 0.95
    return int(tokens[torch.multinomial(probabilities * keep, 1, generator=generator)])


def perplexity(loss: float) -> float:
    return math.exp(loss)
