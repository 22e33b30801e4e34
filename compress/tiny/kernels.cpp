// Training of a pruned LeNet-5 on its non-zeros only.
//
// Two convolutions, 5 x 5 without padding, each rectified and pooled 2 x 2, then two fully connected
// layers. Sixteen images are computed at once: the innermost dimension of every map is the image, so
// that a weight meets a whole vector and an absent weight costs nothing. The cost of a step is
// proportional to the non-zeros.
//
// A layer is CSR: `ptr` [filters + 1], `off` [nnz]; an offset counts pixels of the layer's input,
// channels, rows and columns flattened. `theta` holds the four layers' weights, then their biases.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <new>
#include <vector>
#ifdef __SSE__
#include <xmmintrin.h>
#endif

namespace {

// Subnormal numbers are slow and mean nothing to training: zeros, while one of these lives.
struct NoSubnormals {
#ifdef __SSE__
    const unsigned before = _mm_getcsr();
    NoSubnormals() { _mm_setcsr(before | 0x8040); }
    ~NoSubnormals() { _mm_setcsr(before); }
#endif
};

constexpr int LANES = 16, LAYERS = 4, CLASSES = 10, PIXELS = 28 * 28;
typedef float Vec __attribute__((vector_size(4 * LANES)));
typedef int32_t Choice __attribute__((vector_size(4 * LANES)));

Vec load(const float *p) {
    Vec v;
    memcpy(&v, p, sizeof v);
    return v;
}

void store(float *p, Vec v) { memcpy(p, &v, sizeof v); }

float sum(Vec v) {
    float total = 0;
    for (int lane = 0; lane < LANES; lane++) total += v[lane];
    return total;
}

// Uninitialised, aligned floats.
struct Map {
    float *data;
    explicit Map(size_t count)
        : data((float *)operator new[](count * LANES * 4, std::align_val_t(64))) {}
    Map(const Map &) = delete;
    ~Map() { operator delete[](data, std::align_val_t(64)); }
};

struct Layer {
    int filters;
    const int32_t *ptr, *off;
    size_t weights, biases;  // where theta has them
};

struct Network {
    Layer layer[LAYERS];
    size_t size = 0;
    Network(const int32_t *widths, const int32_t *const *ptr, const int32_t *const *off) {
        for (int i = 0; i < LAYERS; i++) {
            layer[i] = {widths[i], ptr[i], off[i], size, 0};
            size += ptr[i][widths[i]];
        }
        for (Layer &l : layer) {
            l.biases = size;
            size += l.filters;
        }
    }
};

// Convolution to OUT x OUT, ReLU, pooling. `choice`: which of the window's four pixels won, -1 where
// none was positive.
template <int OUT>
void conv_forward(const float *x, const Layer &l, const float *theta, float *y, int32_t *choice) {
    constexpr int IN = OUT + 4, POOLED = OUT / 2;
    for (int f = 0; f < l.filters; f++) {
        for (int py = 0; py < POOLED; py++) {
            alignas(64) float rows[2][OUT * LANES];
            for (int d = 0; d < 2; d++) {
                const float *base = x + (size_t)(2 * py + d) * IN * LANES;
                Vec acc[OUT];  // one row of outputs stays in registers
                for (int i = 0; i < OUT; i++) acc[i] = theta[l.biases + f] - (Vec){};
                for (int t = l.ptr[f]; t < l.ptr[f + 1]; t++) {
                    const float *p = base + (size_t)l.off[t] * LANES;
                    const Vec w = theta[l.weights + t] - (Vec){};
#pragma GCC unroll 24
                    for (int i = 0; i < OUT; i++) acc[i] += w * load(p + i * LANES);
                }
                for (int i = 0; i < OUT; i++) store(rows[d] + i * LANES, acc[i]);
            }
            for (int px = 0; px < POOLED; px++) {
                Vec best = {};
                Choice won = (Choice){} - 1;
                for (int d = 0; d < 4; d++) {
                    const Vec v = load(rows[d >> 1] + (2 * px + (d & 1)) * LANES);
                    const Choice more = v > best;
                    best = more ? v : best;
                    won = more ? (Choice){} + d : won;
                }
                const size_t at = ((size_t)f * POOLED * POOLED + py * POOLED + px) * LANES;
                store(y + at, best);
                memcpy(choice + at, &won, sizeof won);
            }
        }
    }
}

// Adds to `grad`, and to `dx` unless it is null.
template <int OUT>
void conv_backward(const float *x, const Layer &l, const float *theta, const float *dy,
                   const int32_t *choice, Vec *grad, float *dx) {
    constexpr int IN = OUT + 4, POOLED = OUT / 2;
    alignas(64) static thread_local float full[OUT * OUT * LANES];  // dy before pooling
    for (int f = 0; f < l.filters; f++) {
        Vec bias = {};
        for (int py = 0; py < POOLED; py++) {
            for (int px = 0; px < POOLED; px++) {
                const size_t at = ((size_t)f * POOLED * POOLED + py * POOLED + px) * LANES;
                const Vec v = load(dy + at);
                Choice won;
                memcpy(&won, choice + at, sizeof won);
                bias += won >= 0 ? v : (Vec){};
                for (int d = 0; d < 4; d++) {
                    store(full + ((2 * py + (d >> 1)) * OUT + 2 * px + (d & 1)) * LANES,
                          won == d ? v : (Vec){});
                }
            }
        }
        grad[l.biases + f] += bias;
        for (int row = 0; row < OUT; row++) {
            Vec g[OUT];
            for (int i = 0; i < OUT; i++) g[i] = load(full + (row * OUT + i) * LANES);
            for (int t = l.ptr[f]; t < l.ptr[f + 1]; t++) {
                const size_t at = (size_t)(row * IN + l.off[t]) * LANES;
                Vec part[4] = {grad[l.weights + t], {}, {}, {}};
#pragma GCC unroll 24
                for (int i = 0; i < OUT; i++) part[i % 4] += g[i] * load(x + at + i * LANES);
                grad[l.weights + t] = (part[0] + part[1]) + (part[2] + part[3]);
                if (!dx) continue;
                const Vec w = theta[l.weights + t] - (Vec){};
#pragma GCC unroll 24
                for (int i = 0; i < OUT; i++) {
                    float *p = dx + at + i * LANES;
                    store(p, load(p) + w * g[i]);
                }
            }
        }
    }
}

void linear_forward(const float *x, const Layer &l, const float *theta, float *y, bool relu) {
    for (int f = 0; f < l.filters; f++) {
        Vec acc = theta[l.biases + f] - (Vec){};
        for (int t = l.ptr[f]; t < l.ptr[f + 1]; t++)
            acc += theta[l.weights + t] * load(x + (size_t)l.off[t] * LANES);
        store(y + f * LANES, relu ? (acc > 0 ? acc : (Vec){}) : acc);
    }
}

void linear_backward(const float *x, const Layer &l, const float *theta, const float *dy, Vec *grad,
                     float *dx) {
    for (int f = 0; f < l.filters; f++) {
        const Vec g = load(dy + f * LANES);
        grad[l.biases + f] += g;
        for (int t = l.ptr[f]; t < l.ptr[f + 1]; t++) {
            float *p = dx + (size_t)l.off[t] * LANES;
            grad[l.weights + t] += g * load(x + (size_t)l.off[t] * LANES);
            store(p, load(p) + theta[l.weights + t] * g);
        }
    }
}

// Maps of sixteen images on their way through the network, and their gradients.
struct Pass {
    const Network &net;
    Map x, y0, y1, y2, logits, d0, d1, d2, dlogits, choice0, choice1;
    explicit Pass(const Network &n)
        : net(n), x(PIXELS), y0(n.layer[0].filters * 144), y1(n.layer[1].filters * 16),
          y2(n.layer[2].filters), logits(CLASSES), d0(n.layer[0].filters * 144),
          d1(n.layer[1].filters * 16), d2(n.layer[2].filters), dlogits(CLASSES),
          choice0(n.layer[0].filters * 144), choice1(n.layer[1].filters * 16) {}

    void forward(const float *theta, const uint8_t *images, const int64_t *index, float scale,
                 float shift) {
        for (int lane = 0; lane < LANES; lane++) {
            const uint8_t *from = images + index[lane] * PIXELS;
            for (int i = 0; i < PIXELS; i++) x.data[i * LANES + lane] = from[i] * scale - shift;
        }
        conv_forward<24>(x.data, net.layer[0], theta, y0.data, (int32_t *)choice0.data);
        conv_forward<8>(y0.data, net.layer[1], theta, y1.data, (int32_t *)choice1.data);
        linear_forward(y1.data, net.layer[2], theta, y2.data, true);
        linear_forward(y2.data, net.layer[3], theta, logits.data, false);
    }

    // From dlogits; adds to `grad`.
    void backward(const float *theta, Vec *grad) {
        clear(d2, net.layer[2].filters);
        linear_backward(y2.data, net.layer[3], theta, dlogits.data, grad, d2.data);
        for (int f = 0; f < net.layer[2].filters; f++) {
            const Vec g = load(d2.data + f * LANES);
            store(d2.data + f * LANES, load(y2.data + f * LANES) > 0 ? g : (Vec){});
        }
        clear(d1, net.layer[1].filters * 16);
        linear_backward(y1.data, net.layer[2], theta, d2.data, grad, d1.data);
        clear(d0, net.layer[0].filters * 144);
        conv_backward<8>(y0.data, net.layer[1], theta, d1.data, (int32_t *)choice1.data, grad, d0.data);
        conv_backward<24>(x.data, net.layer[0], theta, d0.data, (int32_t *)choice0.data, grad, nullptr);
    }

  private:
    static void clear(Map &map, size_t count) { memset(map.data, 0, count * LANES * 4); }
};

}  // namespace

// What all calls share, as compress/tiny/kernels.py lays it out.
struct Problem {
    const int32_t *widths;      // filters of the four layers
    const int32_t *const *ptr;  // [4]
    const int32_t *const *off;  // [4]
    const uint8_t *images;      // [N, 28, 28]
    const int64_t *labels;      // [N]
    const float *soft;          // [N, 10] the teacher's probabilities at `temperature`
    float scale, shift;         // a pixel p enters as p * scale - shift
    float share, temperature;   // of the teacher in the loss
};

extern "C" {

// (1 - share) * cross entropy + share * temperature^2 * KL(teacher || network), both means over the
// `count` images of `index` (a multiple of 16), and its gradient [size].
double gradient(const Problem *p, const float *theta, const int64_t *index, int count, float *out) {
    const NoSubnormals scope;
    const Network net(p->widths, p->ptr, p->off);
    Pass pass(net);
    Map sums(net.size);
    Vec *grad = (Vec *)sums.data;
    memset(grad, 0, net.size * sizeof(Vec));
    const float T = p->temperature, share = p->share;
    double loss = 0;
    for (int start = 0; start < count; start += LANES) {
        pass.forward(theta, p->images, index + start, p->scale, p->shift);
        for (int lane = 0; lane < LANES; lane++) {
            const int64_t image = index[start + lane];
            const int label = p->labels[image];
            const float *teacher = p->soft + image * CLASSES;
            float z[CLASSES], hard[CLASSES], soft[CLASSES], top = -1e30f, hard_sum = 0, soft_sum = 0;
            for (int c = 0; c < CLASSES; c++) {
                z[c] = pass.logits.data[c * LANES + lane];
                top = std::max(top, z[c]);
            }
            for (int c = 0; c < CLASSES; c++) {
                z[c] -= top;
                hard_sum += hard[c] = expf(z[c]);
                soft_sum += soft[c] = expf(z[c] / T);
            }
            loss += (1 - share) * (logf(hard_sum) - z[label]);
            for (int c = 0; c < CLASSES; c++) {
                const float q = teacher[c];
                if (q > 1e-12f) loss += share * T * T * q * (logf(q) - z[c] / T + logf(soft_sum));
                pass.dlogits.data[c * LANES + lane] =
                    ((1 - share) * (hard[c] / hard_sum - (c == label)) +
                     share * T * (soft[c] / soft_sum - q)) / count;
            }
        }
        pass.backward(theta, grad);
    }
    for (size_t i = 0; i < net.size; i++) out[i] = sum(grad[i]);
    return loss / count;
}

// `steps` steps of Adam on batches of `batch` images; `index` [steps, batch], `rate` [steps],
// `mask` [size] is 0 where a parameter stays; `first` steps were taken before. Returns the mean loss.
double train(const Problem *p, float *theta, const int64_t *index, int batch, int steps,
             const float *rate, float *moment1, float *moment2, float beta1, float beta2,
             int64_t first, const float *mask) {
    const NoSubnormals scope;
    const size_t size = Network(p->widths, p->ptr, p->off).size;
    std::vector<float> grad(size);
    double loss = 0;
    for (int s = 0; s < steps; s++) {
        loss += gradient(p, theta, index + (size_t)s * batch, batch, grad.data());
        const double t = first + s + 1;
        const float fix1 = 1 - std::pow((double)beta1, t), fix2 = 1 - std::pow((double)beta2, t);
        for (size_t i = 0; i < size; i++) {
            const float g = grad[i];
            moment1[i] = beta1 * moment1[i] + (1 - beta1) * g;
            moment2[i] = beta2 * moment2[i] + (1 - beta2) * g * g;
            theta[i] -= mask[i] * rate[s] * (moment1[i] / fix1) / (std::sqrt(moment2[i] / fix2) + 1e-8f);
        }
    }
    return loss / steps;
}

// float32 [N, 10] of the first `count` images.
void logits(const Problem *p, const float *theta, int count, float *out) {
    const NoSubnormals scope;
    const Network net(p->widths, p->ptr, p->off);
    Pass pass(net);
    for (int start = 0; start < count; start += LANES) {
        int64_t index[LANES];
        for (int lane = 0; lane < LANES; lane++) index[lane] = std::min(start + lane, count - 1);
        pass.forward(theta, p->images, index, p->scale, p->shift);
        for (int lane = 0; lane < LANES && start + lane < count; lane++)
            for (int c = 0; c < CLASSES; c++)
                out[(size_t)(start + lane) * CLASSES + c] = pass.logits.data[c * LANES + lane];
    }
}

// Images [count, 28, 28] uint8 -> float32 pixel * scale - shift, moved by `maps` [count, 6]: what
// output pixel (x, y), both from the centre, shows lies at (m0 x + m1 y + m2, m3 x + m4 y + m5), read
// bilinearly.
void warp(const uint8_t *images, const float *maps, int count, float scale, float shift, float *out) {
    const NoSubnormals scope;
    for (int k = 0; k < count; k++) {
        const uint8_t *from = images + (size_t)k * PIXELS;
        const float *m = maps + k * 6;
        const auto pixel = [&](int y, int x) -> float {
            return (unsigned)y < 28u && (unsigned)x < 28u ? from[y * 28 + x] : 0.f;
        };
        for (int y = 0; y < 28; y++)
            for (int x = 0; x < 28; x++) {
                const float sx = m[0] * (x - 13.5f) + m[1] * (y - 13.5f) + m[2] + 13.5f;
                const float sy = m[3] * (x - 13.5f) + m[4] * (y - 13.5f) + m[5] + 13.5f;
                const int ix = (int)std::floor(sx), iy = (int)std::floor(sy);
                const float fx = sx - ix, fy = sy - iy;
                const float v = (1 - fy) * ((1 - fx) * pixel(iy, ix) + fx * pixel(iy, ix + 1)) +
                                fy * ((1 - fx) * pixel(iy + 1, ix) + fx * pixel(iy + 1, ix + 1));
                out[(size_t)k * PIXELS + y * 28 + x] = v * scale - shift;
            }
    }
}
}
