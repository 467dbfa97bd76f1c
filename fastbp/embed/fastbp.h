/* Networks of fastbp as C functions: their addresses, and the argument `network`, are given by `net.cfunc` in Python.

   All may be called by any number of threads at once; none needs Python, allocates memory or keeps what it is given. `out` may be
   x where there are no more outputs than inputs; otherwise they must not overlap. */

#ifndef FASTBP_H
#define FASTBP_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Outputs (rows, n_outputs) for x (rows, n_inputs), both row-major. 0; 1 where x holds NaN or infinity, `out` is to be thrown away
   then. For networks of float32 and of float64: `net.cfunc.address`. */
typedef int (*fastbp_predict_float)(const void *network, int64_t rows, const float *x, float *out);
typedef int (*fastbp_predict_double)(const void *network, int64_t rows, const double *x, double *out);

/* The output for one row of `count` inputs; NaN where the network has another number of inputs, or x holds NaN or infinity. For
   networks of float64 with one output: `net.cfunc.integrand`. */
typedef double (*fastbp_integrand)(int count, double *x, void *network);

#ifdef __cplusplus
}
#endif

#endif
