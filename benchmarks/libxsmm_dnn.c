/* Training with the fully connected layers of libxsmm-dnn: forward, softmax and its cross-entropy, backward, a step of SGD.
 *
 * Products, biases, ReLU and its mask are the library's; gathering rows, the loss and the step are loops that the compiler
 * vectorises. (The library's own softmax takes wrong numbers for classes in more than one block.)
 *
 * Legend: N samples of a mini-batch in blocks of bn; C inputs and K outputs of a layer in blocks of bc and bk. Activations are
 * (N/bn, C/bc, bn, bc), weights (K/bk, C/bc, bc, bk).
 */
#include <libxsmm_dnn.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  int n_in, n_out, bc, bk;
  libxsmm_dnn_fc_fwd_config forward;
  libxsmm_dnn_fc_bwd_config backward;
  float *w, *b, *dw, *db, *a, *delta; /* a and delta of the outputs */
  unsigned char *mask;
} layer;

typedef struct {
  int n_layers, batch, bn, threads;
  float rate;
  float *input;
  void *scratch;
  layer *layers;
} trainer;

static void *zeros(size_t bytes) {
  void *memory = libxsmm_aligned_malloc(bytes, 64);
  memset(memory, 0, bytes);
  return memory;
}

/* sizes and blocks: n_layers + 1 of each; w and b, in blocks, belong to the caller and are changed by `train` */
trainer *create(int n_layers, const int *sizes, const int *blocks, int batch, int bn, int threads, float rate, float **w, float **b) {
  trainer *t = zeros(sizeof(trainer));
  const libxsmm_datatype f32 = LIBXSMM_DATATYPE_F32;
  size_t scratch = 64;
  *t = (trainer){n_layers, batch, bn, threads, rate, zeros(4 * (size_t)batch * sizes[0]), NULL, zeros(n_layers * sizeof(layer))};
  for (int i = 0; i < n_layers; ++i) {
    layer *l = t->layers + i;
    const int fuse = i + 1 < n_layers ? LIBXSMM_DNN_FC_ELTW_FUSE_BIAS_RELU_WITH_MASK : LIBXSMM_DNN_FC_ELTW_FUSE_BIAS;
    const size_t outputs = (size_t)batch * sizes[i + 1];
    l->n_in = sizes[i], l->n_out = sizes[i + 1], l->bc = blocks[i], l->bk = blocks[i + 1];
    l->forward = setup_libxsmm_dnn_fc_fwd(
        batch, l->n_in, l->n_out, bn, l->bc, l->bk, threads, fuse, LIBXSMM_DNN_FC_LAYOUT_PACKED, f32, f32, f32);
    l->backward = setup_libxsmm_dnn_fc_bwd(batch, l->n_in, l->n_out, bn, l->bc, l->bk, threads, fuse, f32, f32, f32);
    scratch = LIBXSMM_MAX(scratch, LIBXSMM_MAX(l->forward.scratch_size, l->backward.scratch_size));
    l->w = w[i], l->b = b[i];
    l->dw = zeros(4 * (size_t)l->n_in * l->n_out), l->db = zeros(4 * l->n_out);
    l->a = zeros(4 * outputs), l->delta = zeros(4 * outputs), l->mask = zeros(outputs);
  }
  t->scratch = zeros(scratch);
  return t;
}

void destroy(trainer *t) {
  for (layer *l = t->layers; l < t->layers + t->n_layers; ++l) {
    destroy_libxsmm_dnn_fc_fwd(&l->forward);
    destroy_libxsmm_dnn_fc_bwd(&l->backward);
    libxsmm_free(l->dw), libxsmm_free(l->db), libxsmm_free(l->a), libxsmm_free(l->delta), libxsmm_free(l->mask);
  }
  libxsmm_free(t->layers), libxsmm_free(t->scratch), libxsmm_free(t->input), libxsmm_free(t);
}

static void share(long count, int member, int members, long *first, long *last) {
  *first = count * member / members, *last = count * (member + 1) / members;
}

/* delta = (softmax(a) - one_hot(label)) / N */
static void loss(const trainer *t, const long *labels, const long *rows, long first, long last) {
  const layer *l = t->layers + t->n_layers - 1;
  const int blocks = l->n_out / l->bk, stride = t->bn * l->bk;
  for (long s = first; s < last; ++s) {
    const long start = s / t->bn * blocks * stride + s % t->bn * l->bk, label = labels[rows[s]];
    float most = -INFINITY, sum = 0;
    for (int p = 0; p < blocks; ++p) {
      const float *a = l->a + start + p * stride;
      for (int j = 0; j < l->bk; ++j) most = a[j] > most ? a[j] : most;
    }
    for (int p = 0; p < blocks; ++p) {
      const float *a = l->a + start + p * stride;
      float *delta = l->delta + start + p * stride;
      for (int j = 0; j < l->bk; ++j) sum += delta[j] = expf(a[j] - most);
    }
    const float scale = 1 / (sum * t->batch);
    for (int p = 0; p < blocks; ++p) {
      float *delta = l->delta + start + p * stride;
      for (int j = 0; j < l->bk; ++j) delta[j] *= scale;
    }
    l->delta[start + label / l->bk * stride + label % l->bk] -= 1.0f / t->batch;
  }
}

static void update(float *restrict w, const float *restrict dw, float rate, long first, long last) {
  for (long i = first; i < last; ++i) w[i] -= rate * dw[i];
}

static void step(trainer *t, const float *x, const long *labels, const long *rows, int member) {
  const int bc = t->layers->bc, n_in = t->layers->n_in, blocks = n_in / bc;
  long first, last;
  share(t->batch, member, t->threads, &first, &last);
  for (long s = first; s < last; ++s) {
    float *start = t->input + s / t->bn * blocks * t->bn * bc + s % t->bn * bc;
    for (int p = 0; p < blocks; ++p) memcpy(start + p * t->bn * bc, x + rows[s] * n_in + p * bc, 4 * bc);
  }
#pragma omp barrier
  for (int i = 0; i < t->n_layers; ++i) {
    layer *l = t->layers + i;
    libxsmm_dnn_fc_fwd_exec_f32(l->forward, l->w, i ? l[-1].a : t->input, l->a, l->b, l->mask, 0, member, t->scratch);
  }
  loss(t, labels, rows, first, last);
#pragma omp barrier
  for (int i = t->n_layers - 1; i >= 0; --i) {
    layer *l = t->layers + i;
    libxsmm_dnn_fc_bwd_exec_f32(l->backward, l->w, i ? l[-1].delta : NULL, l->delta, l->dw, i ? l[-1].a : t->input, l->db, l->mask,
        i ? LIBXSMM_DNN_FC_PASS_BWD : LIBXSMM_DNN_FC_PASS_BWD_W, 0, member, t->scratch);
    share((long)l->n_in * l->n_out, member, t->threads, &first, &last);
    update(l->w, l->dw, t->rate, first, last);
    if (member == 0) update(l->b, l->db, t->rate, 0, l->n_out);
  }
#pragma omp barrier
}

/* so many epochs over the rows that `order` (n,) names; `rest` is for what full mini-batches leave over, or NULL */
void train(trainer *full, trainer *rest, const float *x, const long *labels, const long *order, long n, int epochs) {
#pragma omp parallel num_threads(full->threads)
  for (int epoch = 0; epoch < epochs; ++epoch) {
    long first = 0;
    for (; first + full->batch <= n; first += full->batch) step(full, x, labels, order + first, omp_get_thread_num());
    if (rest) step(rest, x, labels, order + first, omp_get_thread_num());
  }
}
