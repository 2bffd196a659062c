/* What the files of the teacher share among themselves. */
#ifndef TN_REASON_TEACH_PARTS_H
#define TN_REASON_TEACH_PARTS_H

#include "reason/parts.h"
#include "reason/teach.h"

struct tn_teacher {
    const tn_model *model;
    tn_teacher_options options;
    tn_session *session;      /* threads and memory; its cache is not used */
    tn_reasoner reasoner;     /* method and settings                       */
    tenebra_request request;
    tenebra_setting *settings; /* own copies */
    uint64_t seed;             /* of random draws, with the number of each example */
};

/* One batch: forward, and backward if `learn`. */
tenebra_code tn_teacher_run(tn_teacher *teacher, const tn_lesson *const *lessons, size_t count, bool learn, double scale,
                            tn_teach_result *result, tenebra_error *error);

#endif
