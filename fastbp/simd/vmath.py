"""Elementary functions on registers and scalars of float32 and float64: exp, log, tanh, erf, sin and their like.

No branches, no tables, no library calls: every lane takes the same path, and a scalar takes that of a lane, to the same bits.
One formula serves both dtypes; only the polynomials and a few constants differ, and are chosen at compile time.

Largest errors in units in the last place, over every float32 and millions of float64 (up to 0.5 more without an FMA unit):

          exp   expm1 log   log1p tanh  sigmoid softplus erf   sin   cos
float32   0.97  1.69  0.98  1.46  3.12  2.00    1.74     2.19  2.32  2.44
float64   1.09  1.69  1.29  1.78  3.10  2.00    1.82     2.59  2.28  2.40

NaN gives NaN, infinities and poles (log(0) = -inf) are exact, nothing overflows early, and tanh, erf, expm1, log1p and sin keep the
sign of zero. Subnormal arguments are treated like all others. Results of exp, sigmoid and softplus below 2**-126.5 (float32) or
2**-1022.5 (float64), just under the smallest normal number, are zero.

Legend: x, r registers (or scalars); n integers held as floats.
"""

from functools import wraps

from fastbp.compiler import inline
from fastbp.simd.ieee754 import as_argument, as_register, exponent, exponent_field, polynomial, power_of_two, significand
from fastbp.simd.register import absolute, copysign, floor_at, fma, like, select


def elementary(function):
    """Compile a function of a register that takes a scalar too: put into every lane, and taken from one of the result."""
    of_register = inline(function)

    @wraps(function)
    def of_either(x):
        return as_argument(of_register(as_register(x)), x)

    return inline(of_either)


def constant(float32, float64):
    """A function: x -> a register like x, with the constant of its dtype."""
    return polynomial((float32,), (float64,))


def numbers(text):
    """The numbers in a text: coefficients, lowest power first."""
    return tuple(float(number) for number in text.split())


# Polynomials: minimax (Remez exchange) for the relative error of the function they are used in, given here in float32 and
# float64; the coefficients were rounded one at a time, the remaining ones fitted anew.

# (e**r - 1) / r for r in [-0.347, 0.694]; 2**-27, 2**-59
GROWTH = polynomial(
    numbers("1.0 0.5 0.16666709 0.04166665 0.008326611 0.0013926557 0.0002237251"),
    numbers("""1.0 0.5 0.166666666666667 0.04166666666666657 0.008333333333312752 0.0013888888889116093 0.00019841269881940826
        2.4801586529526613e-05 2.75572902839781e-06 2.7558176976076343e-07 2.5054320093350786e-08 2.058546939791061e-09
        1.943652200819575e-10"""),
)
# (2 atanh(s) / s - 2) / w of w = s**2, s in [0, 1/3]; 2**-28, 2**-59
ATANH = polynomial(
    numbers("0.6666641 0.40021783 0.2799721 0.2803634"),
    numbers("""0.6666666666666631 0.4000000000015614 0.28571428547964356 0.2222222396435878 0.18181744068104677
        0.1538655775797329 0.13300991373972992 0.12106023371073003 0.08340059455985652 0.1701920349567363"""),
)
# log(erfc(-t)) / t - 1 for t in [-4, 0] and [-6, 0]; 2**-28, 2**-53
LOG_ERFC = polynomial(
    numbers("""0.12837917 -0.63661957 0.102776304 0.019147824 -0.00016949468 -0.0016756594 -0.00063735025 -0.000118856835
        -9.387435e-06"""),
    numbers("""0.1283791670955125 -0.6366197723676105 0.10277260330009873 0.019128446963695603 -0.00020919522443456587
        -0.0016962104952014038 -0.0005901466725751879 -2.595480069527176e-05 6.42908792040976e-05 2.932494286000222e-05
        2.797613210579031e-06 -3.5629831289745125e-06 -2.4284923097450943e-06 -8.529219375314822e-07 -1.737108265599845e-07
        -8.224679246546215e-09 7.826655849400107e-09 3.1634772904189468e-09 6.829375376415136e-10 9.572269367238302e-11
        8.742689694096955e-12 4.766823202395039e-13 1.1830507648702578e-14"""),
)
ERF_IS_1 = constant(-4.0, -6.0)
# x HALF_TOP(x**2) / HALF_BOTTOM(x**2) = tanh(x / 2), for the error of tanh(x) computed from it, |x| <= 8.6 and 18.56; 2**-27,
# 2**-59. Top and bottom have a common factor, which is free: with this one the errors of rounding are smallest.
HALF_TOP = polynomial(
    numbers("0.90625 0.027004987 0.00010403347"),
    numbers("""0.90625 0.03307251061600325 0.0002899438603997269 8.931062005841774e-07 1.0280426735529256e-09
        3.723274959492442e-13 1.9001485028818224e-17"""),
)
HALF_BOTTOM = polynomial(
    numbers("1.8125 0.20505159 0.0021915908 2.2485233e-06"),
    numbers("""1.8125 0.21718668789867315 0.003574611712355572 1.817927340215954e-05 3.441363195639103e-08 2.3153871873695538e-11
        3.829426809341608e-15"""),
)
# tanh is 1 from here on to within 1.5 ULP. At these two numbers rounding happens to give exactly 1, with and without an FMA unit;
# below them the denominator is more than rounding errors above the numerator, so that nothing exceeds 1.
TANH_IS_1 = constant(8.537, 18.5228)

# (sin(r) / r - 1) / w of w = r**2, r in [-pi/2, pi/2]; 2**-30, 2**-61
SINE = polynomial(
    numbers("-0.16666667 0.0083333505 -0.00019843093 2.7627061e-06 -2.5507807e-08"),
    numbers("""-0.16666666666666666 0.008333333333333207 -0.0001984126984121248 2.7557319211569342e-06 -2.505210690436854e-08
        1.6058940996065856e-10 -7.643019096567805e-13 2.721415352850935e-15"""),
)

INFINITY, NAN = float("inf"), float("nan")
SMALLEST_NORMAL = constant(2.0**-126, 2.0**-1022)
SQRT_2 = 1.4142135623730951
LOG2_E = 1.4426950408889634
# log(2) in two parts; the high one ends in zeros, so that n times it is exact
LN2_HIGH = constant(0.693145751953125, 0.6931471803691238)
LN2_LOW = constant(1.428606765330187e-06, 1.9082149292705877e-10)


# --- x = n log(2) + r ---------------------------------------------------------------------------------------------------------
#
# e**x = 2**n e**r. Adding SHIFT = 1.5 * 2**m + bias, m the stored bits of the significand, rounds to the integer n and leaves
# n + bias in the lowest bits: one subtraction is then n as a number, one shift 2**n (and 0 for n = -bias).

SHIFT = constant(1.5 * 2.0**23 + 127, 1.5 * 2.0**52 + 1023)
SHIFT_HIGHEST = constant(1.5 * 2.0**23 + 254, 1.5 * 2.0**52 + 2046)
FLUSHED = constant(88.0, 709.0)  # e**-x is zero here: n = -bias


@inline
def _at_most(x, high):
    """min(x, high), NaN in x kept."""
    return select(x > high, high, x)


@inline
def _remainder(x, n):
    return fma(n, -LN2_LOW(x), fma(n, -LN2_HIGH(x), x))


@elementary
def exp(x):
    """e**x."""
    x = floor_at(x, -FLUSHED(x))
    shifted = fma(x, like(x, LOG2_E), SHIFT(x))
    # 2**(bias + 1) is not a number, so the last half binade before overflow is reached with n = bias and r up to log(2)
    shifted = _at_most(shifted, SHIFT_HIGHEST(x))
    r = _remainder(x, shifted - SHIFT(x))
    return exponent_field(shifted) * fma(r, GROWTH(r), like(x, 1.0))


@inline
def _expm1(x, down):
    x = floor_at(x, -FLUSHED(x))
    shifted = _at_most(fma(x, like(x, LOG2_E), down) + SHIFT(x), SHIFT_HIGHEST(x))
    r, scale = _remainder(x, shifted - SHIFT(x)), exponent_field(shifted)
    return fma(scale, r * GROWTH(r), scale - 1.0)


@elementary
def expm1(x):
    """e**x - 1 = 2**n (e**r - 1) + (2**n - 1); n is rounded down for x > 0, so that nothing cancels."""
    return copysign(_expm1(x, select(x > 0.0, like(x, -0.49), like(x, 0.0))), x)


@elementary
def sigmoid(x):
    """1 / (1 + e**-x): 2**-n / (2**-n + e**r) with |x| = n log(2) + r for x < 0, and one minus that of -x otherwise."""
    y = _at_most(absolute(x), FLUSHED(x))
    shifted = fma(y, like(y, -LOG2_E), SHIFT(y))
    r, scale = _remainder(y, SHIFT(y) - shifted), exponent_field(shifted)
    s = scale / (fma(r, GROWTH(r), scale) + 1.0)
    return select(x < 0.0, s, 1.0 - s)


@elementary
def erf(x):
    """2 / sqrt(pi) times the integral of e**-t**2 from 0 to x; |erf| = 1 - e**log(erfc(|x|)), that logarithm a polynomial."""
    t = floor_at(-absolute(x), ERF_IS_1(x))
    return copysign(_expm1(fma(t, LOG_ERFC(t), t), like(t, 0.0)), x)


# --- tanh(x / 2) = u / v ------------------------------------------------------------------------------------------------------


@elementary
def tanh(x):
    """2 t / (1 + t**2) = 2 u v / (u**2 + v**2) with t = u / v = tanh(x / 2): errors of t matter the less, the nearer it is to 1."""
    x = floor_at(_at_most(x, TANH_IS_1(x)), -TANH_IS_1(x))
    w = x * x
    u, v = x * HALF_TOP(w), HALF_BOTTOM(w)
    half = u * v
    return (half + half) / fma(v, v, u * u)


# --- x = 2**k (1 + f) ---------------------------------------------------------------------------------------------------------


@inline
def _split(x):
    """1 + f in [1/sqrt(2), sqrt(2)] and k."""
    m, k = significand(x), exponent(x)
    high = m > SQRT_2
    return select(high, 0.5 * m, m), select(high, k + 1.0, k)


@inline
def _series(f, start):
    """log(1 + f) - f + start: with s = f / (2 + f), log(1 + f) = 2 atanh(s) = f - s (f - s**2 ATANH(s**2))."""
    s = f / (f + 2.0)
    w = s * s
    return fma(-s, fma(-w, ATANH(w), f), start)


@inline
def _sum(f, k):
    """k log(2) + log(1 + f)."""
    return fma(k, LN2_HIGH(f), _series(f, fma(k, LN2_LOW(f), f)))


@elementary
def log(x):
    """Natural logarithm, k log(2) + log(1 + f)."""
    subnormal = x < SMALLEST_NORMAL(x)
    m, k = _split(select(subnormal, x * 2.0**53, x))
    y = _sum(m - 1.0, select(subnormal, k - 53.0, k))
    y = select(x < INFINITY, y, x)
    return select(x > 0.0, y, select(x == 0.0, like(x, -INFINITY), like(x, NAN)))


@elementary
def log1p(x):
    """log(1 + x), with what is lost in rounding 1 + x added to f."""
    u = 1.0 + x
    lost = x - (u - 1.0)
    m, k = _split(u)
    # nothing that matters is lost where k > 60
    y = _sum(fma(lost, power_of_two(floor_at(-k, like(k, -60.0))), m - 1.0), k)
    y = select(x < INFINITY, copysign(y, x), x)
    return select(x > -1.0, y, select(x == -1.0, like(x, -INFINITY), like(x, NAN)))


@elementary
def softplus(x):
    """log(1 + e**x) = max(x, 0) + log(1 + e**-|x|)."""
    z = exp(-absolute(x))
    return floor_at(x, like(x, 0.0)) + _series(z, z)


# --- x = n pi + r -------------------------------------------------------------------------------------------------------------

INVERSE_PI = 0.3183098861837907
# pi in three parts, of which the first two end in zeros, so that n times each is exact up to the largest n
PI_HIGH = constant(3.1414794921875, 3.1415926534682512)
PI_MIDDLE = constant(0.0001131594181060791, 1.2154201012607932e-10)
PI_LOW = constant(1.984187159361081e-09, 4.044532497591901e-21)
MOST_TURNED = constant(1024.0, 1048576.0)
TO_WHOLE = constant(1.5 * 2.0**23, 1.5 * 2.0**52)


@inline
def _whole(x):
    """The integer nearest to x, of two the even one."""
    return (x + TO_WHOLE(x)) - TO_WHOLE(x)


@inline
def _sine(x, shift):
    """sin(x + shift pi) for a shift of 0 or 1/2: n = m - shift with an integer m, and sin(m pi + r) = (-1)**m sin(r)."""
    x = floor_at(_at_most(x, MOST_TURNED(x)), -MOST_TURNED(x))
    m = _whole(fma(x, like(x, INVERSE_PI), shift))
    n = m - shift
    r = fma(n, -PI_LOW(x), fma(n, -PI_MIDDLE(x), fma(n, -PI_HIGH(x), x)))
    odd = absolute(m * 0.5 - _whole(m * 0.5))  # 0 or 1/2
    w = r * r
    return copysign(fma(r * w, SINE(w), r), r) * fma(odd, like(x, -4.0), like(x, 1.0))


@elementary
def sin(x):
    """Sine. Beyond +-1024 (float32) and +-2**20 (float64) it is that of these numbers."""
    return _sine(x, like(x, 0.0))


@elementary
def cos(x):
    """Cosine, sin(x + pi / 2). Beyond +-1024 (float32) and +-2**20 (float64) it is that of these numbers."""
    return _sine(x, like(x, 0.5))
