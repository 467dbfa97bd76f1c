"""What was chosen by measurement: how much is done at a time, and from where on another way is the faster one.

A change of any of these may change the order of a sum, and with it the last bits of a result, where the comment says so.

Legend: P columns of a panel; W lanes of a register.
"""

from fastbp.compiler import add_this_module

add_this_module()

# products (`products/`, `walk.py`, `gradient.py`)
DEPTH = 256  # of a product in one go: so deep, a panel of either operand stays in the first-level cache (bits)
GROUP = 1 << 11  # rows of panels of A, at full depth, that stay in the second-level cache while all panels of W pass over them
LEAST_GROUP = 48  # rows, however deep
GATHERED = 8  # rows that are gathered side by side: so many streams of reads, and writes of whole pieces of a panel
AHEAD = 8  # panels of each row asked for while the rows before it are copied; further on the processor foresees them itself
CONVERTED, CONVERTED_AHEAD = 64, 1024  # numbers of other kinds, a line of the cache if they are bytes: one of so many, and so far
ROWS_OF_LOSS = 4  # registers of rows whose targets are gathered at a time: there is room for so many

# few outputs (`products/few.py`, chosen in `products/ways.py`)
FEW = 3  # filled columns of a panel, at most, for which lanes run over the depth (bits)
FEWER = 2  # of which the deltas below are computed beside the gradient: there are registers for so many
COMPACT = 512  # deltas of few outputs that are kept side by side while a gradient is computed, at most
LEAST_TURNED_DEPTH, TURNED_DEPTH = (
    24,
    512,
)  # of a product that repays turning its columns, and there is room for (bits)
LEAST_TURNED_SAMPLES = 64  # that repay the transposition of a gradient
SHALLOW_ROWS = 4  # of a product of small depth, at a time

FEW_WEIGHTS = 1 << 7  # registers of parameters up to which one row takes packed ones, too, and a copy tells if they have changed

# samples without their zeros (`sparse/first_layer.py`)
PART = 64  # columns whose gradient is computed, and used, at a time
SIDE_BY_SIDE = 4  # panels whose sums over the entries of a sample run side by side
ENTRIES_OF_PIECE = 8  # of a sample, at least, in a piece of its columns whose weights stay in the first-level cache
PIECE_BYTES = 1 << 14

DRAWN = 1 << 20  # rows of an order that are drawn in a call, at most: some 20 ms

# blocks (`block.py`)
BLOCK_BYTES = 1 << 18  # of activations and deltas that stay in the cache, where a mini-batch is long
LONG_BATCH = 1024  # samples up to which a mini-batch is one block
BLOCK_ROWS = 96  # samples of a block: a multiple of this
SMALL_GRADIENT = 1 << 17  # bytes: to add it to another takes little of the time in which a block gives it

# curvature (`curvature/`)
ROWS_OF_JACOBIAN = 256  # samples of a block, at most: no deeper than a product in one go (bits)

# narrow networks (`narrow/`)
# units of the widest layer up to which lanes over samples are the faster way: without it 2-3-3-1, one sample at a time, takes five
# times as long, and 8-12-12-3 in mini-batches of 32 twice as long
NARROW_LIMIT = 12
NARROW_BLOCK = 64  # samples at a time (bits)
NARROW_PIECE = 1 << 12  # samples of a long mini-batch between two looks at how much has been done
NARROW_ROWS, NARROW_CHAINS = 3, 4  # of a tile of sums over the samples, which run side by side

# encoders of tables (`encoder/`)
EMBEDDED = 3  # numbers of a periodic embedding beside the column itself; `feature_gradients.py` has so many sums

SPINS = 4096  # turns at the barrier before the first yield, about 20 us

# networks side by side (`abreast`)
ABREAST_BYTES = 24 << 10  # of a block's activations and deltas
ABREAST_LEAST, ABREAST_MOST = 4, 32  # samples of a block

# what is done once more, so that a door is slower: the regressions that `benchmarks/gate_selftest.py` plants; nothing, if it is 0
AGAIN_IN_FIT = 0  # thousandths of every forward product
AGAIN_IN_PREDICT = 0  # the same
AGAIN_IN_ROW = 0  # layers of a row that is predicted alone
AGAIN_IN_STEP = 0  # checks of sample weights
AGAIN_IN_PARTIAL_FIT = 0  # looks at the arrays given
