/* M3CoT as its authors publish it: <split>.jsonl beside images/ (ACL 2024, arXiv:2405.16473). Counts: rows of the
 * Hugging Face version, then of the paper; every row of the test split has an image. */
#include "data/dataset.h"

static const tn_dataset_split splits[] = {
    { .name = "train", .rows = { 7863, 7973 } },
    { .name = "dev", .aliases = { "validation", "val", "valid" }, .rows = { 1108, 1127 } },
    { .name = "test", .rows = { 2318, 2359 } },
    { 0 },
};

const tn_dataset tn_dataset_m3cot = {
    .name = "m3cot",
    .summary = "M3CoT: <split>.jsonl and images/, in DIR or DIR/data",
    .splits = splits,
    .read = tn_rows_read,
    .parse = tn_rows_parse,
};
