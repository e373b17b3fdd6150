"""The job: what a program's machine code is given at a call, one word each."""

WORDS = (
    # addresses of buffers, which stay: values and adjoints of S and of L, lists and status words,
    # operations of segments; and of SciPy's matrix product, 0 where there is none
    *("vs", "gs", "vl", "gl", "pool", "ops", "gemm"),
    # checks: rows, orders and lengths; numbers expected; the first order that is checked
    *("checks", "expected", "trusted"),
    # for each step where its examples begin and end, in `order` or in the data; how many steps;
    # whether gradients are wanted, of outputs with these weights
    *("starts", "steps", "backward", "weights"),
    # inputs that are read in place: those of the first example, the distance of its next, how many
    # of their columns `data` lacks; and where each example at hand has them, as the driver finds it
    *("in_place", "in_place_stride", "lacking", "rows"),
    # examples: their numbers; the data, the distance of rows, or of columns if they lie `in_order`
    *("ids", "data", "stride", "in_order", "order"),
    # results: outputs and the distance of their rows, the first check that failed for each example
    # and what it found, and the gradients of single examples
    *("outputs", "columns", "fail", "found", "lane_gradient"),
    # training, or not: numbers that move, their gradient and rows, how many; the rule, its numbers,
    # what it is told in each step, how many words that is; whether gradients are divided by weights
    *("training", "theta", "gradient", "places", "size", "rule", "slots", "settings", "told"),
    "mean",
    # sums of terms and of weights, by step; how many steps were done
    *("losses", "done"),
)
AT = {name: k for k, name in enumerate(WORDS)}
