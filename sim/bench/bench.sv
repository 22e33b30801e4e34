// DMA around cosign_core: runs a list of jobs by itself and raises `finished`.
//
// +jobs=FILE    text, one job a line: file prefix, then the layer's descriptor fields (hexadecimal)
//               in the order of `layer`, most significant first. A job reads PREFIX.acts,
//               PREFIX.weights and PREFIX.biases (binary, big-endian words) and writes PREFIX.out.
// +results=FILE text, one line a job: prefix, cycles, stalls, output words
// +stall=SEED   idle cycles on every input stream and back-pressure on the output, half of all cycles
//
// Words are read as they are needed, so files of any length fit.

module bench #(
    parameter LAYER_BITS = 1,
    parameter ACT_BITS = 512,
    parameter WEIGHT_BITS = 21,
    parameter BIAS_BITS = 24,
    parameter OUT_BITS = 8,
    parameter PATIENCE = 65536  // cycles without an output word after which the core has hung
) (
    input  wire clk,
    input  wire rst,
    output reg  finished,
    output reg  hung
);
  localparam ACT_BYTES = ACT_BITS / 8;
  localparam WEIGHT_BYTES = (WEIGHT_BITS + 7) / 8;
  localparam BIAS_BYTES = (BIAS_BITS + 7) / 8;
  localparam OUT_BYTES = OUT_BITS / 8;

  reg [8*ACT_BYTES-1:0] act, act_read;
  reg [8*WEIGHT_BYTES-1:0] weight, weight_read;
  reg [8*BIAS_BYTES-1:0] bias, bias_read;
  reg act_valid, weight_valid, bias_valid, out_ready;
  wire act_ready, weight_ready, bias_ready, out_valid;
  wire [OUT_BITS-1:0] out;
  reg [LAYER_BITS-1:0] layer;
  reg start;
  wire busy, done;
  wire [31:0] cycles, stalls;

`include "core.svh"

  localparam IDLE = 0, LOAD = 1, RUN = 2, END = 3;
  reg [1:0] state;
  integer jobs, results, acts, weights, biases, outs, count, patience;
  string jobs_name, results_name, prefix;
  reg stalling;
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
    jobs = $fopen(jobs_name, "r");
    results = $fopen(results_name, "w");
    if (jobs == 0 || results == 0) $fatal(1, "cannot open the job or result file");
  end

  always @(posedge clk) begin
    start <= 0;
    noise <= noise * 32'd1664525 + 32'd1013904223;
    out_ready <= !stalling || noise[31];
    if (rst) begin
      state <= IDLE;
      finished <= 0;
      hung <= 0;
      act_valid <= 0;
      weight_valid <= 0;
      bias_valid <= 0;
      out_ready <= 0;
    end else case (state)
      IDLE: if (!finished && !hung) begin
        if ($fscanf(jobs, "%s %h", prefix, layer) == 2) begin
          acts = $fopen({prefix, ".acts"}, "rb");
          weights = $fopen({prefix, ".weights"}, "rb");
          biases = $fopen({prefix, ".biases"}, "rb");
          outs = $fopen({prefix, ".out"}, "wb");
          if (acts == 0 || weights == 0 || biases == 0 || outs == 0)
            $fatal(1, "cannot open the files of job %s", prefix);
          count <= 0;
          patience <= PATIENCE;
          state <= LOAD;
        end else begin
          $fclose(results);
          finished <= 1;
        end
      end
      LOAD: begin
        `FETCH(acts, act, act_read, act_valid, act_ready, !stalling || noise[30])
        if ($feof(acts) != 0 && (!act_valid || act_ready)) begin
          act_valid <= 0;
          // The first words are there before the core starts, so that it never waits for the bench.
          if (!weight_valid) begin
            `FETCH(weights, weight, weight_read, weight_valid, 1'b0, 1'b1)
          end
          if (!bias_valid) begin
            `FETCH(biases, bias, bias_read, bias_valid, 1'b0, 1'b1)
          end
          start <= 1;
          state <= RUN;
        end
      end
      RUN: begin
        `FETCH(weights, weight, weight_read, weight_valid, weight_ready, !stalling || noise[29])
        `FETCH(biases, bias, bias_read, bias_valid, bias_ready, !stalling || noise[28])
        patience <= patience - 1;
        if (out_valid && out_ready) begin
          for (integer n = 0; n < OUT_BYTES; n = n + 1) $fwrite(outs, "%c", out[8*n +: 8]);
          count <= count + 1;
          patience <= PATIENCE;
        end
        if (done) state <= END;
        else if (patience == 0) begin
          hung <= 1;
          state <= IDLE;
        end
      end
      END: begin
        $fclose(acts);
        $fclose(weights);
        $fclose(biases);
        $fclose(outs);
        // A word that is left over was never asked for: the streams were too long.
        $fdisplay(results, "%0s %0d %0d %0d %0d", prefix, cycles, stalls, count,
                  weight_valid || bias_valid);
        $fflush(results);
        weight_valid <= 0;
        bias_valid <= 0;
        state <= IDLE;
      end
    endcase
  end
endmodule
