/* The inner loop of synth.replay: a flat netlist, one clock cycle after the other.
 *
 * A net is a number, its value a byte. The structs are those of synth/replay.py, field by field.
 */
#include <stdint.h>

enum { PINS = 6 }; /* inputs of a gate */

typedef struct {
    int64_t count;
    uint8_t *value, *last; /* [count], of this cycle and of the one before */
    uint32_t *toggles, *high; /* [count], counted */
} Nets;

typedef struct {
    int64_t count;
    const int32_t *inputs; /* [count][PINS] nets */
    const int32_t *output; /* [count] nets */
    const uint64_t *table; /* [count], bit i for the inputs whose bits make i */
} Gates;

typedef struct {
    int64_t count;
    const int32_t *data, *state, *enable; /* [count] nets */
    uint8_t *next; /* [count] */
} Registers;

typedef struct {
    int64_t words, bits, address_bits;
    int32_t enable, write; /* nets */
    const int32_t *address; /* [address_bits] nets */
    const int32_t *data, *q; /* [bits] nets */
    uint8_t *content; /* [words][bits] */
    int64_t *accesses; /* [2], counted: reads, writes */
} Ram;

typedef struct {
    int64_t count;
    const int32_t *nets; /* [count] */
    uint8_t *bits; /* [cycles][count] */
} Ports;

typedef struct {
    int64_t cycles, start; /* counted from cycle `start` on */
    Nets nets;
    Gates gates;
    Registers registers;
    Ports inputs, outputs;
    int64_t ram_count;
    const Ram *rams;
} Run;

static void drive(const Ports *ports, int64_t cycle, uint8_t *value)
{
    for (int64_t i = 0; i < ports->count; i++)
        value[ports->nets[i]] = ports->bits[cycle * ports->count + i];
}

static void see(const Ports *ports, int64_t cycle, const uint8_t *value)
{
    for (int64_t i = 0; i < ports->count; i++)
        ports->bits[cycle * ports->count + i] = value[ports->nets[i]];
}

static void settle(const Gates *gates, uint8_t *value)
{
    for (int64_t g = 0; g < gates->count; g++) {
        const int32_t *in = gates->inputs + PINS * g;
        int row = 0;
        for (int pin = 0; pin < PINS; pin++) row |= value[in[pin]] << pin;
        value[gates->output[g]] = gates->table[g] >> row & 1;
    }
}

static void count(const Nets *nets)
{
    for (int64_t n = 0; n < nets->count; n++) {
        nets->toggles[n] += nets->value[n] ^ nets->last[n];
        nets->high[n] += nets->value[n];
    }
}

static void keep(const Nets *nets)
{
    for (int64_t n = 0; n < nets->count; n++) nets->last[n] = nets->value[n];
}

/* The single port of an SRAM: a write leaves q as it is. */
static void access(const Ram *ram, uint8_t *value, int counted)
{
    if (!value[ram->enable]) return;
    int write = value[ram->write];
    if (counted) ram->accesses[write]++;
    int64_t word = 0;
    for (int64_t b = 0; b < ram->address_bits; b++) word |= (int64_t)value[ram->address[b]] << b;
    if (word >= ram->words) return;
    uint8_t *row = ram->content + word * ram->bits;
    for (int64_t b = 0; b < ram->bits; b++)
        if (write) row[b] = value[ram->data[b]];
        else value[ram->q[b]] = row[b];
}

void replay(const Run *run)
{
    const Registers *regs = &run->registers;
    uint8_t *value = run->nets.value;
    for (int64_t cycle = 0; cycle < run->cycles; cycle++) {
        int counted = cycle >= run->start;
        drive(&run->inputs, cycle, value);
        settle(&run->gates, value);
        see(&run->outputs, cycle, value);
        if (counted) count(&run->nets);
        keep(&run->nets);
        /* The clock edge: registers take what they saw before any memory has changed. */
        for (int64_t r = 0; r < regs->count; r++) {
            int32_t from = value[regs->enable[r]] ? regs->data[r] : regs->state[r];
            regs->next[r] = value[from];
        }
        for (int64_t r = 0; r < run->ram_count; r++) access(run->rams + r, value, counted);
        for (int64_t r = 0; r < regs->count; r++) value[regs->state[r]] = regs->next[r];
    }
}
