// A run of a core whose streams share a channel of a few bits a cycle; channel.py has the rules.
//
// A cycle is what lies before a clock edge: first all words that are taken at its end, as the core
// and the channel stand, then what the channel moves meanwhile. Cycle 0 is the first one in which
// the core runs. Names are those of rtl/: `left`, `free`, `missing`, `unclaimed` are registers there.

#include <algorithm>
#include <cstdint>
#include <deque>
#include <vector>

using std::int64_t;

struct Run {
  int64_t width;  // bits that the channel moves in a cycle
  int64_t passes, tiles, filters;
  int64_t row_shifts, last_shifts;  // drain cycles of a filter's part of a tile; of a pass's last tile
  int64_t bias_places, bias_stay;   // words that wait; cycles from a claim to the place being free
  int64_t late, ahead;              // of weights that are read late, or words ahead of their use
  int64_t latency, depth;           // from a drain command to its output word; words of the queue
  int64_t map_words, map_bits;      // here and below: words of a stream, bits of a word
  int64_t bias_words, bias_bits;
  int64_t output_bits;
  int64_t table_words, table_bits;
  int64_t mask_bits;
  int64_t weight_bits;
  const int64_t *entries;  // [passes], issues of a tile (0 for rows)
  const int64_t *words;    // [passes], masks included
  const int64_t *masks;    // [passes], words of them
  int64_t windows;         // of a tile; 0 but for rows
  const int64_t *reads;    // [windows]
  const int64_t *in_window;  // [passes][windows], issues of the fullest row
  const int64_t *row_words;  // [passes][filters]
  const int64_t *first;      // [passes][filters], issues in the first window
};

namespace {

const int64_t NEVER = INT64_MAX / 4;

// An input stream outside: two words (of the widest) wait there, those on offer included.
struct Source {
  int64_t room, left, have = 0;  // bits: that fit, that are still to come, that wait

  Source(int64_t widest, int64_t total) : room(2 * widest), left(total) {}
  bool rests() const { return have == room || !left; }
  void fill(int64_t &budget) {
    int64_t moved = std::min({budget, room - have, left});
    have += moved, left -= moved, budget -= moved;
  }
};

struct Core {
  const Run &run;
  Source biases, weights;
  int64_t now = 0;
  // weight stream
  int64_t table_done = 0, loading = 0, word = 0, row = 0, row_end = 0;
  int64_t tabled, begun;           // cycle from which the table is there, a buffer is free
  int64_t masked = 0;              // cycle from which the masks of the pass that loads are there
  std::vector<int64_t> ends;       // [passes], cycle of a pass's last issue
  std::vector<int64_t> can_issue;  // [passes], from when its masks and weights are there
  std::vector<int64_t> through;    // [passes], before which its first window does not end (rows)
  // issue
  int64_t pass = 0, tile = 0, remaining = 0, window = 0, window_start = NEVER;
  // drain, biases, outputs
  int64_t left = 0, in_row = 0, missing, waiting = 0, unclaimed = 0, moved = 0, last_pop = 0;
  bool begins = false, first_tile = false;
  int64_t free;
  std::deque<int64_t> arrivals, claims;  // cycles of output words in the queue, of claimed words

  Core(const Run &r, int64_t weight_total, int64_t widest)
      : run(r), biases(r.bias_bits, r.bias_words * r.bias_bits), weights(widest, weight_total),
        tabled(r.table_words ? NEVER : 0), begun(0), ends(r.passes, NEVER),
        can_issue(r.passes, NEVER), through(r.passes, 0), missing(r.filters), free(r.depth) {
    remaining = r.entries[0];
    row_end = r.windows ? r.row_words[0] : 0;
    if (r.windows && !r.table_words) window_start = r.reads[0];
  }

  int64_t word_bits() const {
    if (tabled == NEVER) return run.table_bits;
    return word < run.masks[loading] ? run.mask_bits : run.weight_bits;
  }

  void take_weight() {
    if (loading == run.passes || weights.have < word_bits()) return;
    if (tabled == NEVER) {
      weights.have -= run.table_bits;
      if (++table_done == run.table_words) {
        tabled = begun = now + 1;
        if (run.windows) window_start = tabled + run.reads[0];
      }
      return;
    }
    if (now < begun) return;
    int64_t late = word < run.masks[loading] ? 0 : run.late;
    if (loading >= 2 && now < ends[loading - 2] + 1 + late) return;
    weights.have -= word_bits();
    ++word;
    int64_t p = loading;
    if (word == run.masks[p]) masked = now + 1 + run.ahead;
    if (run.windows && word == row_end) {
      int64_t there = now + 1 + run.ahead;
      through[p] = std::max(through[p], there + run.first[p * run.filters + row] - 1);
      if (++row < run.filters) row_end += run.row_words[p * run.filters + row];
    }
    if (word == run.words[p]) {
      can_issue[p] = std::max(masked, now + 1);
      word = row = 0;
      if (++loading < run.passes && run.windows) row_end = run.row_words[loading * run.filters];
    }
  }

  void take_bias() {
    bool fire = missing && waiting != run.bias_places && biases.have >= run.bias_bits;
    if (!claims.empty() && claims.front() + run.bias_stay - 1 == now) {
      claims.pop_front();
      --waiting;
    }
    if (!fire) return;
    biases.have -= run.bias_bits;
    --missing;
    ++waiting;
    ++unclaimed;
  }

  // Whether a tile's last entry is issued in this cycle, if the drain lets it.
  bool at_last() {
    if (pass == run.passes) return false;
    if (run.windows) {
      if (now < window_start + run.in_window[pass * run.windows + window] - 1) return false;
      if (window == 0 && tile == 0 && (now < can_issue[pass] || now < through[pass])) return false;
      if (window == run.windows - 1) return true;
      next_window();
      return false;
    }
    if (now < can_issue[pass]) return false;
    if (remaining == 1) return true;
    --remaining;
    return false;
  }

  void next_window() {
    window = window + 1 == run.windows ? 0 : window + 1;
    window_start = std::max(now + 1, window_start + run.reads[window]);
  }

  void end_tile() {
    bool last = tile == run.tiles - 1;
    left = last ? run.last_shifts : run.filters * run.row_shifts;
    in_row = 0;
    begins = true;
    first_tile = tile == 0;
    if (first_tile && pass != run.passes - 1) missing += run.filters;
    if (run.windows) next_window();
    if (last) {
      ends[pass++] = now;
      tile = 0;
    } else {
      ++tile;
    }
    if (pass < run.passes) remaining = run.entries[pass];
  }

  // Goes on to the next cycle in which more happens than that entries are issued and bits come:
  // a tile's (rows: a window's) last entry, or all bits of a word of weights.
  void skip() {
    if (pass == run.passes || left || !arrivals.empty() || !claims.empty()) return;
    if ((missing && waiting != run.bias_places) || !biases.rests()) return;
    int64_t cycles = NEVER;
    bool issuing = now >= can_issue[pass];
    if (!issuing) {
      if (can_issue[pass] != NEVER) return;
    } else if (run.windows) {
      cycles = window_start + run.in_window[pass * run.windows + window] - 1 - now;
    } else {
      cycles = remaining - 1;
    }
    bool full = loading == run.passes || (loading >= 2 && ends[loading - 2] == NEVER);
    if (!full) {
      int64_t lacking = word_bits() - weights.have;
      cycles = std::min(cycles, (lacking + run.width - 1) / run.width);
    } else if (!weights.rests()) {
      return;
    }
    if (cycles <= 0 || cycles == NEVER) return;
    int64_t budget = cycles * run.width;
    weights.fill(budget);
    now += cycles;
    if (issuing) remaining -= cycles;
  }

  // A cycle; false when the layer's last output word has left.
  bool step() {
    int64_t budget = run.width;
    bool pop = false;
    if (!arrivals.empty() && arrivals.front() <= now) {
      int64_t paid = std::min(budget, run.output_bits - moved);
      moved += paid;
      budget -= paid;
      pop = moved == run.output_bits;
    }
    bool wants = left && begins && first_tile;
    bool take = left && free && !(wants && !unclaimed);
    bool may_end = left == 0 || (left == 1 && take);
    bool ended = at_last() && may_end;
    take_bias();
    take_weight();
    biases.fill(budget);
    weights.fill(budget);
    if (pop) {
      moved = 0;
      last_pop = now;
      arrivals.pop_front();
    }
    free += pop - take;
    if (take) {
      if (wants) {
        --unclaimed;
        claims.push_back(now);
      }
      arrivals.push_back(now + run.latency);
      --left;
      begins = ++in_row == run.row_shifts && run.filters > 1;
      if (begins) in_row = 0;
    }
    if (ended) end_tile();
    ++now;
    return pass < run.passes || left || !arrivals.empty();
  }
};

}  // namespace

// Cycles from the start, when nothing has been moved, to `done`.
extern "C" int64_t channel_cycles(const Run *run) {
  int64_t bits = run->table_words * run->table_bits, widest = run->weight_bits;
  if (run->table_words) widest = std::max(widest, run->table_bits);
  if (run->passes && run->masks[0]) widest = std::max(widest, run->mask_bits);
  for (int64_t p = 0; p < run->passes; ++p)
    bits += run->masks[p] * run->mask_bits + (run->words[p] - run->masks[p]) * run->weight_bits;
  Core core(*run, bits, widest);
  Source map(run->map_bits, run->map_words * run->map_bits);
  int64_t waited = 0;
  // The core sees in the next cycle that a row was the last one, and runs from the one after.
  for (int64_t rows = 0, rest = 1; rest; ++waited) {
    if (rows == run->map_words) --rest;
    int64_t budget = run->width;
    if (rows < run->map_words && map.have >= run->map_bits) {
      map.have -= run->map_bits;
      ++rows;
    }
    map.fill(budget);
    core.biases.fill(budget);
    core.weights.fill(budget);
  }
  while (core.step()) core.skip();
  return waited - 1 + core.last_pop + 2;  // the cycle of the start itself does not count
}
