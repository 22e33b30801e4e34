// Rectilinear Steiner trees of many nets: minimum spanning trees, with Steiner points where they
// shorten them. Distances are Manhattan; points are doubles, in any unit.
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#define EXACT 10  // pins up to which candidates are tried one by one on Hanan's grid
#define TINY 1e-9

typedef struct {
    int32_t count;  // of points: pins first, then Steiner points
    double *x, *y;
    int32_t *parent;  // -1 for the root, which is pin 0
    double *near;
    int32_t *from;
    uint8_t *done;
} Tree;

static double distance(const Tree *t, int a, int b) {
    return fabs(t->x[a] - t->x[b]) + fabs(t->y[a] - t->y[b]);
}

// Prim's algorithm from point 0: fills `parent`, returns the length.
static double span(Tree *t) {
    double length = 0;
    for (int i = 0; i < t->count; i++) {
        t->near[i] = i ? distance(t, 0, i) : 0;
        t->from[i] = 0;
        t->done[i] = 0;
    }
    t->done[0] = 1;
    t->parent[0] = -1;
    for (int left = t->count - 1; left > 0; left--) {
        int best = -1;
        for (int i = 1; i < t->count; i++)
            if (!t->done[i] && (best < 0 || t->near[i] < t->near[best])) best = i;
        t->done[best] = 1;
        t->parent[best] = t->from[best];
        length += t->near[best];
        for (int i = 1; i < t->count; i++) {
            double d = distance(t, best, i);
            if (!t->done[i] && d < t->near[i]) {
                t->near[i] = d;
                t->from[i] = best;
            }
        }
    }
    return length;
}

// Steiner points with fewer than three neighbours shorten nothing: the last ones first.
static void drop(Tree *t, int pins) {
    for (int changed = 1; changed;) {
        changed = 0;
        span(t);
        for (int s = t->count - 1; s >= pins && !changed; s--) {
            int degree = t->parent[s] >= 0;
            for (int i = 0; i < t->count; i++) degree += t->parent[i] == s;
            if (degree < 3) {
                t->count--;
                t->x[s] = t->x[t->count];
                t->y[s] = t->y[t->count];
                changed = 1;
            }
        }
    }
}

// The iterated 1-Steiner heuristic: each time the point of Hanan's grid that shortens most.
static void one_by_one(Tree *t, int pins) {
    double length = span(t);
    while (t->count < 2 * pins - 2) {
        double best = length - TINY;
        int bx = -1, by = -1;
        int at = t->count++;
        for (int i = 0; i < pins; i++)
            for (int j = 0; j < pins; j++) {
                t->x[at] = t->x[i];
                t->y[at] = t->y[j];
                double now = span(t);
                if (now < best) {
                    best = now;
                    bx = i;
                    by = j;
                }
            }
        if (bx < 0) {
            t->count--;
            break;
        }
        t->x[at] = t->x[bx];
        t->y[at] = t->y[by];
        drop(t, pins);
        length = span(t);
    }
    drop(t, pins);
}

static double median(double a, double b, double c) {
    return fmax(fmin(a, b), fmin(fmax(a, b), c));
}

// For large nets: two edges that meet run together as far as they can, the largest gain first.
static void meet(Tree *t, int pins) {
    span(t);
    while (t->count < 2 * pins - 2) {
        double best = TINY;
        int bu = -1, bv = -1, bw = -1;
        for (int v = 1; v < t->count; v++) {
            int u = t->parent[v];
            for (int w = 1; w < t->count; w++) {
                // Edges u-v and u-w, or u-v and v-w.
                int sibling = w > v && t->parent[w] == u, child = t->parent[w] == v;
                if (!sibling && !child) continue;
                double x = median(t->x[u], t->x[v], t->x[w]);
                double y = median(t->y[u], t->y[v], t->y[w]);
                int hub = child ? v : u;
                double gain = fabs(x - t->x[hub]) + fabs(y - t->y[hub]);
                if (gain > best) {
                    best = gain;
                    bu = u;
                    bv = v;
                    bw = w;
                }
            }
        }
        if (bu < 0) break;
        int s = t->count++;
        t->x[s] = median(t->x[bu], t->x[bv], t->x[bw]);
        t->y[s] = median(t->y[bu], t->y[bv], t->y[bw]);
        t->parent[s] = bu;
        t->parent[bv] = s;
        t->parent[bw] = s;
    }
}

// Trees of `nets` nets. Net n has pins starts[n]..starts[n+1] of px, py, the driver first; its tree
// goes to place 2*starts[n] of x, y (its points, pins first) and parent; counts[n] of them.
// Returns 0, or -1 where memory is short.
int32_t trees(int64_t nets, const int64_t *starts, const double *px, const double *py, double *x,
              double *y, int32_t *parent, int32_t *counts) {
    int64_t most = 0;
    for (int64_t n = 0; n < nets; n++)
        if (starts[n + 1] - starts[n] > most) most = starts[n + 1] - starts[n];
    double *near = malloc((2 * most + 1) * sizeof *near);
    int32_t *from = malloc((2 * most + 1) * sizeof *from);
    uint8_t *done = malloc(2 * most + 1);
    if (!near || !from || !done) return -1;
    for (int64_t n = 0; n < nets; n++) {
        int pins = (int)(starts[n + 1] - starts[n]);
        int64_t at = 2 * starts[n];
        Tree t = {pins, x + at, y + at, parent + at, near, from, done};
        for (int i = 0; i < pins; i++) {
            t.x[i] = px[starts[n] + i];
            t.y[i] = py[starts[n] + i];
        }
        if (pins > 3 && pins <= EXACT)
            one_by_one(&t, pins);
        else if (pins >= 3)
            meet(&t, pins);
        else if (pins)
            span(&t);
        counts[n] = t.count;
    }
    free(near);
    free(from);
    free(done);
    return 0;
}
