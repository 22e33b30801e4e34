// The channel of a few bits a cycle to the memory outside, shared by all streams of a run.
//
// In every cycle in which `open` it moves `width` bits: first those of the map, then those of the
// output word on offer, then of biases, then of weights. Of an input stream up to two words of the
// widest wait here, the one on offer included: `there` tells that all bits of the next word have
// come. `out_ready` is high in the cycle in which the last bits of the output word go.
//
// `load` begins a run: nothing has been moved, and `total_*` bits are to come.

module channel (
    input wire clk,
    input wire load,
    input wire open,
    input longint width,
    input longint total_acts, total_weights, total_biases,
    input longint act_bits, weight_bits, bias_bits,  // of the word on offer
    input longint next_weight_bits,  // of the one after it
    input longint widest_weight, out_bits,
    input wire act_taken, weight_taken, bias_taken, out_taken,
    input wire out_valid,
    output wire act_there, weight_there, bias_there, out_ready
);
  longint have_acts, have_weights, have_biases;  // bits that wait
  longint left_acts, left_weights, left_biases;  // bits to come
  longint moved;  // of the output word on offer

  function automatic longint least(input longint a, input longint b, input longint c);
    least = a < b ? a : b;
    if (c < least) least = c;
  endfunction

  // What lies here when the words that are taken have gone; what comes in this cycle.
  longint kept_acts, kept_weights, kept_biases, acts, weights, biases, outs, budget;
  always_comb begin
    kept_acts = have_acts - (act_taken ? act_bits : 0);
    kept_weights = have_weights - (weight_taken ? weight_bits : 0);
    kept_biases = have_biases - (bias_taken ? bias_bits : 0);
    budget = open ? width : 0;
    acts = least(budget, 2 * act_bits - kept_acts, left_acts);
    budget = budget - acts;
    outs = out_valid ? least(budget, out_bits - moved, budget) : 0;
    budget = budget - outs;
    biases = least(budget, 2 * bias_bits - kept_biases, left_biases);
    budget = budget - biases;
    weights = least(budget, 2 * widest_weight - kept_weights, left_weights);
  end
  assign act_there = act_bits != 0 && kept_acts + acts >= act_bits;
  assign weight_there = next_weight_bits != 0 && kept_weights + weights >= next_weight_bits;
  assign bias_there = bias_bits != 0 && kept_biases + biases >= bias_bits;
  assign out_ready = moved + outs == out_bits;

  always @(posedge clk) begin
    have_acts <= load ? 0 : kept_acts + acts;
    have_weights <= load ? 0 : kept_weights + weights;
    have_biases <= load ? 0 : kept_biases + biases;
    left_acts <= load ? total_acts : left_acts - acts;
    left_weights <= load ? total_weights : left_weights - weights;
    left_biases <= load ? total_biases : left_biases - biases;
    moved <= load || out_taken ? 0 : moved + outs;
  end
endmodule
