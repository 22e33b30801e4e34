// DMA around cosign_core: runs a list of jobs by itself and raises `finished`.
//
// +jobs=FILE    text, one job a line: file prefix, rows of the map, cycle of a reset (0: none), then
//               the layer's descriptor (hexadecimal, the fields of `layer`). A job reads
//               PREFIX.acts, PREFIX.weights and PREFIX.biases (binary, big-endian words) and
//               writes PREFIX.out.
// +results=FILE text, one line for each job that was not reset: prefix, output words, cycles, stalls,
//               nonzeros, fillers, whether words were left over, error
// +stall=SEED   idle cycles on every input stream and back-pressure on the output, half of all cycles;
//               of the descriptor only new_map is there with the start, all else a cycle later
// +channel=BITS all streams share a channel of so many bits a cycle (`channel.sv`); of a job it also
//               reads PREFIX.channel (text: bits of a row and of the map, of the widest weight and of
//               all, of a bias and of all, of an output word) and PREFIX.bits (two bytes for each
//               word of weights: its bits). Cycles then count from the start, before which nothing
//               is moved, and those are among them in which the core waits for its map.
//
// A stream on which an offer is taken back ends the simulation (`steady.sv`).
//
// Words are read as they are needed, so files of any length fit. Maps are sent by a process of their
// own, as early as the core takes them.

module bench #(
    parameter LAYER_BITS = 1,
    parameter ACT_BITS = 512,
    parameter WEIGHT_BITS = 21,
    parameter BIAS_BITS = 24,
    parameter OUT_BITS = 8,
    parameter COUNT_BITS = 1,
    parameter PATIENCE = 65536  // cycles without an output word after which the core has hung
) (
    output reg finished,
    output reg hung
);
  // The clock is the bench's own: driven from outside through the VPI it takes longer than the core.
  reg clk = 0;
  always #1 clk = !clk;
  reg [4:0] power_on = 16;  // cycles of reset
  wire rst = power_on != 0;
  always @(posedge clk) if (rst) power_on <= power_on - 1;

  localparam ACT_BYTES = (ACT_BITS + 7) / 8;
  localparam WEIGHT_BYTES = (WEIGHT_BITS + 7) / 8;
  localparam BIAS_BYTES = (BIAS_BITS + 7) / 8;
  localparam OUT_BYTES = (OUT_BITS + 7) / 8;

  reg [8*ACT_BYTES-1:0] act, act_read;
  reg [8*WEIGHT_BYTES-1:0] weight, weight_read;
  reg [8*BIAS_BYTES-1:0] bias, bias_read;
  reg act_valid, act_last, weight_valid, bias_valid, out_open;
  wire out_ready;
  wire act_ready, weight_ready, bias_ready, out_valid, out_last;
  wire [OUT_BITS-1:0] out;
  wire [8*OUT_BYTES-1:0] out_bytes = {{(8*OUT_BYTES){1'b0}}} | out;
  reg [LAYER_BITS-1:0] layer;
  reg start, resetting, stalling;
  wire [LAYER_BITS-1:0] arriving = start && stalling ? ~layer : layer;
  wire busy, done;
  wire [3:0] error;
  wire [3+2*COUNT_BITS:0] events;
  wire [COUNT_BITS-1:0] nonzeros = events[4+:COUNT_BITS], fillers = events[4+COUNT_BITS+:COUNT_BITS];

`include "core.svh"

  // The bench may lose words on offer when a job ended.
  wire reset = rst || resetting;
  steady #(ACT_BITS + 1, "acts") steady_acts (
      .clk(clk), .excused(reset || (done && error[2])), .valid(act_valid), .ready(act_ready),
      .payload({act_last, act[ACT_BITS-1:0]})
  );
  steady #(WEIGHT_BITS, "weights") steady_weights (
      .clk(clk), .excused(reset || !busy), .valid(weight_valid), .ready(weight_ready),
      .payload(weight[WEIGHT_BITS-1:0])
  );
  steady #(BIAS_BITS, "biases") steady_biases (
      .clk(clk), .excused(reset || !busy), .valid(bias_valid), .ready(bias_ready),
      .payload(bias[BIAS_BITS-1:0])
  );
  steady #(OUT_BITS + 1, "outputs") steady_outputs (
      .clk(clk), .excused(reset), .valid(out_valid), .ready(out_ready),
      .payload({out_last, out})
  );

  longint width, act_bits, bias_bits, weight_bits, next_weight_bits, widest_weight, out_bits;
  longint total_acts, total_weights, total_biases;
  reg [15:0] bits_read;
  reg limited;
  wire act_there, weight_there, bias_there, out_there;
  channel shared (
      .clk(clk), .load(state == READY), .open(limited && state == RUN), .width(width),
      .total_acts(total_acts), .total_weights(total_weights), .total_biases(total_biases),
      .act_bits(act_bits), .weight_bits(weight_bits), .bias_bits(bias_bits),
      .next_weight_bits(next_weight_bits), .widest_weight(widest_weight), .out_bits(out_bits),
      .act_taken(limited && act_valid && act_ready),
      .weight_taken(limited && weight_valid && weight_ready),
      .bias_taken(limited && bias_valid && bias_ready),
      .out_taken(limited && out_valid && out_ready), .out_valid(out_valid),
      .act_there(act_there), .weight_there(weight_there), .bias_there(bias_there),
      .out_ready(out_there)
  );
  assign out_ready = out_open && (!limited || out_there);

  localparam IDLE = 0, READY = 1, RUN = 2, END = 3, RESET = 4;
  reg [2:0] state;
  integer jobs, maps, results, acts, weights, biases, outs, bits, channel, number, reset_at, age;
  integer count, patience, cycles, stalls, used, unused;
  integer ignored, rows, skip;
  string jobs_name, results_name, prefix, map_prefix;
  reg [LAYER_BITS-1:0] map_layer;
  reg ended, maps_end;
  reg [31:0] noise;

  // One step of an input stream: the next word when the last one has gone, and whether there is one.
  `define FETCH(file, word, read, valid, ready, gate) \
    if (!valid || ready) begin \
      valid <= 0; \
      if ((gate) && $fread(read, file) != 0) begin \
        word <= read; \
        valid <= 1; \
      end \
    end

  initial begin
    if (!$value$plusargs("jobs=%s", jobs_name)) $fatal(1, "+jobs= is missing");
    if (!$value$plusargs("results=%s", results_name)) $fatal(1, "+results= is missing");
    noise = 0;
    stalling = $value$plusargs("stall=%d", noise) != 0;
    limited = $value$plusargs("channel=%d", width) != 0;
    jobs = $fopen(jobs_name, "r");
    maps = $fopen(jobs_name, "r");
    results = $fopen(results_name, "w");
    if (jobs == 0 || maps == 0 || results == 0) $fatal(1, "cannot open the job or result file");
    number = 0;
  end

  // Maps. After a reset or a map that was too long the sender goes on with the job that comes next.
  always @(posedge clk) begin
    if (rst || resetting || (done && error[2])) begin
      act_valid <= 0;
      rows <= 0;
      acts <= 0;
      maps_end <= 0;
      ignored = $rewind(maps);
      for (skip = 0; skip < number; skip = skip + 1)
        ignored = $fscanf(maps, "%s %d %d %h", map_prefix, ignored, ignored, map_layer);
    end else if (rows == 0 && (!act_valid || act_ready)) begin
      act_valid <= 0;
      if (acts != 0) $fclose(acts);
      acts <= 0;
      if (!maps_end) begin
        if ($fscanf(maps, "%s %d %d %h", map_prefix, rows, ignored, map_layer) == 4)
          acts <= $fopen({map_prefix, ".acts"}, "rb");
        else maps_end <= 1;
      end
    end else if (rows != 0) begin
      if (!act_valid || act_ready) begin
        act_valid <= 0;
        if ((!stalling || noise[30]) && (!limited || act_there) && $fread(act_read, acts) != 0) begin
          act <= act_read;
          act_valid <= 1;
          act_last <= rows == 1;
          rows <= rows - 1;
        end
      end
    end
  end

  always @(posedge clk) begin
    start <= 0;
    noise <= noise * 32'd1664525 + 32'd1013904223;
    out_open <= !stalling || noise[31];
    if (busy && (limited || !events[0])) begin
      cycles <= cycles + 1;
      stalls <= stalls + {31'd0, |events[3:1]};
      used <= used + {{(32-COUNT_BITS){1'b0}}, nonzeros};
      unused <= unused + {{(32-COUNT_BITS){1'b0}}, fillers};
    end
    if (rst) begin
      state <= IDLE;
      finished <= 0;
      hung <= 0;
      weight_valid <= 0;
      bias_valid <= 0;
      out_open <= 0;
      resetting <= 0;
    end else case (state)
      IDLE: if (!finished && !hung) begin
        if ($fscanf(jobs, "%s %d %d %h", prefix, ignored, reset_at, layer) == 4) begin
          number = number + 1;
          weights = $fopen({prefix, ".weights"}, "rb");
          biases = $fopen({prefix, ".biases"}, "rb");
          outs = $fopen({prefix, ".out"}, "wb");
          if (weights == 0 || biases == 0 || outs == 0)
            $fatal(1, "cannot open the files of job %s", prefix);
          if (limited) begin
            bits = $fopen({prefix, ".bits"}, "rb");
            channel = $fopen({prefix, ".channel"}, "r");
            if (bits == 0 || channel == 0 || $fscanf(channel, "%d %d %d %d %d %d %d", act_bits,
                total_acts, widest_weight, total_weights, bias_bits, total_biases, out_bits) != 7)
              $fatal(1, "cannot read what the channel of job %s moves", prefix);
            $fclose(channel);
            next_weight_bits <= $fread(bits_read, bits) != 0 ? {48'd0, bits_read} : 0;
          end
          count <= 0;
          age <= 0;
          ended <= 0;
          patience <= limited ? 64 * PATIENCE : PATIENCE;
          state <= READY;
        end else begin
          $fclose(results);
          finished <= 1;
        end
      end
      READY: begin
        // The first words are there before the core starts, so that it never waits for the bench.
        if (!weight_valid && !limited) begin
          `FETCH(weights, weight, weight_read, weight_valid, 1'b0, 1'b1)
        end
        if (!bias_valid && !limited) begin
          `FETCH(biases, bias, bias_read, bias_valid, 1'b0, 1'b1)
        end
        cycles <= 0;
        stalls <= 0;
        used <= 0;
        unused <= 0;
        start <= 1;
        state <= RUN;
      end
      RUN: begin
        if (limited && (!weight_valid || weight_ready) && (!stalling || noise[29]) && weight_there)
        begin
          weight_bits <= next_weight_bits;
          next_weight_bits <= $fread(bits_read, bits) != 0 ? {48'd0, bits_read} : 0;
        end
        `FETCH(weights, weight, weight_read, weight_valid, weight_ready,
               (!stalling || noise[29]) && (!limited || weight_there))
        `FETCH(biases, bias, bias_read, bias_valid, bias_ready,
               (!stalling || noise[28]) && (!limited || bias_there))
        patience <= patience - 1;
        age <= age + 1;
        if (out_valid && out_ready) begin
          for (integer n = 0; n < OUT_BYTES; n = n + 1) $fwrite(outs, "%c", out_bytes[8*n +: 8]);
          count <= count + 1;
          patience <= limited ? 64 * PATIENCE : PATIENCE;
          if (ended) $fatal(1, "a word after the last one in job %s", prefix);
          ended <= out_last;
        end
        if (done) state <= END;
        else if (reset_at != 0 && age == reset_at) begin
          resetting <= 1;
          age <= 0;
          state <= RESET;
        end else if (patience == 0) begin
          hung <= 1;
          state <= IDLE;
        end
      end
      END: begin
        if (error == 0 && !ended) $fatal(1, "no last word in job %s", prefix);
        // A word that is left over was never asked for: the streams were too long.
        $fdisplay(results, "%0s %0d %0d %0d %0d %0d %0d %0d", prefix, count, cycles, stalls, used,
                  unused, weight_valid || bias_valid, error);
        $fflush(results);
        state <= IDLE;
      end
      default: begin  // RESET
        age <= age + 1;
        if (age == 4) begin
          resetting <= 0;
          state <= IDLE;
        end
      end
    endcase
    if (state == END || (state == RESET && age == 4)) begin
      $fclose(weights);
      $fclose(biases);
      $fclose(outs);
      if (limited) $fclose(bits);
      weight_valid <= 0;
      bias_valid <= 0;
    end
  end
endmodule
