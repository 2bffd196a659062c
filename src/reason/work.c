/* Signs of life while a picture or a prompt is computed: an event before each layer, for requests that want it. */
#include "reason/parts.h"

static void tell_layer(void *user)
{
    tn_reasoner *reasoner = user;
    const tenebra_request *request = reasoner->request;
    tenebra_event event = { .kind = TENEBRA_EVENT_WORK, .trace = &reasoner->trace, .text = reasoner->work,
                            .index = reasoner->work_done++, .count = reasoner->work_total };
    if (!request->on_event(request->user, &event))
        tn_fail(&reasoner->session->engine.ops.failure, TENEBRA_ERROR_CANCELLED, "ask", "was cancelled");
}

void tn_reasoner_start_work(tn_reasoner *reasoner, const char *name, size_t layers)
{
    const tenebra_request *request = reasoner->request;
    tn_ops *ops = &reasoner->session->engine.ops;
    bool wanted = request->work && request->on_event != NULL;
    reasoner->work = name;
    reasoner->work_done = 0;
    reasoner->work_total = layers;
    ops->on_layer = wanted ? tell_layer : NULL;
    ops->on_layer_user = reasoner;
}

void tn_reasoner_end_work(tn_reasoner *reasoner)
{
    reasoner->session->engine.ops.on_layer = NULL;
}
