/**
 * Down and dense, the matrices with few outputs and long rows, as WGSL text of `decode_layers`.
 *
 * Knows how a workgroup's outputs are shared out among its threads. It is no kernel and has no
 * bindings.
 */

/**
 * `narrow(m, share, team, thread)` leaves partial sums, `partials_total(m, share, team, mine)` adds
 * up those of one quad.
 *
 * @param even cut evenly among subgroups, whatever the quads; else a team of threads takes a quad
 */
export function decodeNarrow(even: boolean): string {
  return even ? EVEN : BY_TEAMS;
}

const BY_TEAMS = `
// Threads that share an output of these matrices, and how many outputs are computed at once.
struct Team { lanes: u32, count: u32 }

fn down_team(attends: bool) -> Team {
  return Team(DOWN_LANES, (THREADS - ATTENTION) / DOWN_LANES);
}

fn dense_team() -> Team {
  return Team(DENSE_LANES, THREADS / DENSE_LANES);
}

// To the partial sums, one of each subgroup.
fn narrow(m: Matrix, share: Share, team: Team, thread: u32) {
  let lane = thread % team.lanes;
  if (thread / team.lanes >= team.count) {
    return;
  }
  for (var mine = thread / team.lanes; mine < share.out_quads; mine += team.count) {
    let row = 4u * (share.out_first + mine);
    let sum = subgroupAdd(sums(m, row, lane, m.chunks, lane, team.lanes));
    if (lane % WIDTH == 0u) {
      partials[(mine * team.lanes + lane) / WIDTH] = sum;
    }
  }
}

fn partials_total(m: Matrix, share: Share, team: Team, mine: u32) -> vec4<f32> {
  let each = team.lanes / WIDTH;
  var sum = vec4(0.0);
  for (var i = 0u; i < each; i++) {
    sum += partials[mine * each + i];
  }
  return sum;
}
`;

const EVEN = `
// Subgroups that share all outputs. The quads, one after the other, are cut in steps of as many chunks
// as a subgroup has threads, and the steps in equal runs: subgroup t has those from t * steps / count.
struct Team { count: u32 }

fn down_team(attends: bool) -> Team {
  return Team(SUBGROUPS - select(0u, ATTENDERS, attends));
}

fn dense_team() -> Team {
  return Team(SUBGROUPS);
}

fn steps_of(m: Matrix) -> u32 {
  return (m.chunks + WIDTH - 1u) / WIDTH;
}

// Subgroups that get steps: none is left without between two that do.
fn workers(steps: u32, team: Team) -> u32 {
  return min(team.count, steps);
}

// To the partial sums, at subgroup + quad: no two lie there, as one of both grows from each to the next.
fn narrow(m: Matrix, share: Share, team: Team, thread: u32) {
  let own = thread / WIDTH;
  let lane = thread % WIDTH;
  let each = steps_of(m);
  let steps = share.out_quads * each;
  let count = workers(steps, team);
  if (own >= count) {
    return;
  }
  let end = (own + 1u) * steps / count;
  var step = own * steps / count;
  while (step < end) {
    let mine = step / each;
    let first = mine * each;
    let last = min(end, first + each);
    let row = 4u * (share.out_first + mine);
    let until = min(m.chunks, (last - first) * WIDTH);
    let sum = subgroupAdd(sums(m, row, (step - first) * WIDTH + lane, until, lane, WIDTH));
    if (lane == 0u) {
      partials[own + mine] = sum;
    }
    step = last;
  }
}

fn partials_total(m: Matrix, share: Share, team: Team, mine: u32) -> vec4<f32> {
  let each = steps_of(m);
  let steps = share.out_quads * each;
  let count = workers(steps, team);
  let last = ((mine + 1u) * each * count - 1u) / steps;
  var sum = vec4(0.0);
  for (var i = ((mine * each + 1u) * count - 1u) / steps; i <= last; i++) {
    sum += partials[i + mine];
  }
  return sum;
}
`;
