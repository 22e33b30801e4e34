// The core without a testbench: streams come from arrays, one run, as fast as Verilator goes.
//
// PROGRAM ACTS WEIGHTS BIASES OUT: files of port-sized words; writes the output words and prints
// the busy cycles. ports.h, generated, has the descriptor's values.
// Verilator writes a port's two underscores as ___05F.
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <vector>

#include "Vbare.h"
#include "ports.h"

using Bytes = std::vector<char>;

static Bytes read(const char* name) {
  std::ifstream file(name, std::ios::binary);
  return Bytes(std::istreambuf_iterator<char>(file), {});
}

// A stream into the core: its words lie one behind the other, each as large as the port.
template <typename Port, typename Flag>
struct Source {
  Bytes words;
  Port& payload;
  Flag &valid, &ready;
  size_t at = 0;

  void offer() {
    valid = at < words.size();
    if (valid) std::memcpy(&payload, &words[at], sizeof(Port));
  }
  void advance(bool taken) {
    if (!taken) return;
    at += sizeof(Port);
    offer();
  }
};

template <typename Port, typename Flag>
Source<Port, Flag> source(const char* name, Port& payload, Flag& valid, Flag& ready) {
  return {read(name), payload, valid, ready};
}

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  auto* core = new Vbare;
  auto acts = source(argv[1], core->i_acts___05Fpayload, core->i_acts___05Fvalid, core->i_acts___05Fready);
  auto weights =
      source(argv[2], core->i_weights___05Fpayload, core->i_weights___05Fvalid, core->i_weights___05Fready);
  auto biases =
      source(argv[3], core->i_biases___05Fpayload, core->i_biases___05Fvalid, core->i_biases___05Fready);
  Bytes out;
  long cycles = 0;
  describe(core);
  auto cycle = [&] {
    core->clk = 0;
    core->eval();
    const bool a = acts.valid && acts.ready, w = weights.valid && weights.ready,
               b = biases.valid && biases.ready;
    if (core->o___05Fvalid) {
      const char* word = reinterpret_cast<const char*>(&core->o___05Fpayload);
      out.insert(out.end(), word, word + OUT_BYTES);
    }
    cycles += core->busy && !(core->events & 1);
    core->clk = 1;
    core->eval();
    acts.advance(a);
    weights.advance(w);
    biases.advance(b);
  };
  core->rst = 1;
  for (int n = 0; n < 16; n++) cycle();
  core->rst = 0;
  core->o___05Fready = 1;
  acts.offer();
  weights.offer();
  biases.offer();
  core->start = 1;
  cycle();
  core->start = 0;
  while (!core->done) cycle();
  std::ofstream(argv[4], std::ios::binary).write(out.data(), out.size());
  std::printf("%ld\n", cycles);
  delete core;
}
