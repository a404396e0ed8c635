/**
 * Equal scores of a row counted and found by one workgroup, as WGSL text that kernels put before
 * their own.
 *
 * Knows how a row is shared out for that. It is no kernel; the kernel binds `scores`, (rows, VOCAB)
 * as bits of f32, declares THREADS = 256, VOCAB and, in workgroup memory, `pairs`: vec2<u32>, at
 * least 512 of them. `WIDE_INTEGER` and `SAMPLING_STATE` come before it.
 */
export const ROW_EQUALS = `
var<workgroup> equal_id: u32; // what \`find_equal\` found

// The sum of this thread's value and those of the threads before it; leaves all sums in \`pairs\`.
fn running_sum(thread: u32, value: vec2<u32>) -> vec2<u32> {
  var sum = value;
  var half = 0u;
  workgroupBarrier();
  pairs[thread] = sum;
  workgroupBarrier();
  // Eight steps between two halves of \`pairs\`, so that one barrier is enough for each.
  for (var step = 1u; step < THREADS; step *= 2u) {
    if (thread >= step) {
      sum = add(sum, pairs[half + thread - step]);
    }
    half = THREADS - half;
    pairs[half + thread] = sum;
    workgroupBarrier();
  }
  return sum;
}

// A thread looks at ids that follow each other.
fn first_of_span(thread: u32) -> u32 {
  return min(thread * ((VOCAB + THREADS - 1u) / THREADS), VOCAB);
}

fn equals_in_span(row: u32, key: u32, thread: u32) -> u32 {
  var equals = 0u;
  for (var id = first_of_span(thread); id < first_of_span(thread + 1u); id++) {
    equals += select(0u, 1u, sort_key(scores[row * VOCAB + id]) == key);
  }
  return equals;
}

// Leaves the id before which \`before\` ids have this key in \`equal_id\`.
fn find_equal(row: u32, key: u32, before: u32, thread: u32) {
  let own = equals_in_span(row, key, thread);
  let sum = running_sum(thread, vec2(own, 0u)).x;
  if (sum > before && sum - own <= before) {
    var passed = sum - own;
    for (var id = first_of_span(thread); id < first_of_span(thread + 1u); id++) {
      if (sort_key(scores[row * VOCAB + id]) == key) {
        if (passed == before) {
          equal_id = id;
        }
        passed += 1u;
      }
    }
  }
  workgroupBarrier();
}
`;
