// Ends the simulation when a stream breaks its promise: what is offered, stays until it is taken.
//
// `excused` forgets the word on offer: in a reset, and where the bench's text says so.

module steady #(
    parameter BITS = 1,
    parameter NAME = "stream"
) (
    input wire clk,
    input wire excused,
    input wire valid,
    input wire ready,
    input wire [BITS-1:0] payload
);
  reg waiting = 0;
  reg [BITS-1:0] offered;
  always @(posedge clk) begin
    if (waiting && !excused && (!valid || payload != offered))
      $fatal(1, "stream %0s takes back what it offers", NAME);
    waiting <= valid && !ready && !excused;
    offered <= payload;
  end
endmodule
