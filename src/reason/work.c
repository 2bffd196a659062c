/* Progress while an image or a prompt is computed: an event before each layer, for requests that ask for it. */
#include "reason/parts.h"

#include "base/checked.h"

static bool tell_layer(tn_reasoner *reasoner)
{
    const tenebra_request *request = reasoner->request;
    if (reasoner->work.name == NULL)
        return true;
    tenebra_event event = { .kind = TENEBRA_EVENT_WORK, .trace = &reasoner->trace, .text = reasoner->work.name,
                            .index = reasoner->work.done++ };
    event.count = tn_max(reasoner->work.done, reasoner->work.total); /* more rounds if other answers left less room for the
                                                                      * prompt */
    return request->on_event(request->user, &event);
}

static void tell_layers(void *user)
{
    const tn_work *work = user;
    for (size_t i = 0; i < work->count; i++)
        if (!tell_layer(work->reasoners[i])) {
            work->reasoners[i]->loop.cancelled = true;
            if (work->count == 1) /* the computation of others continues */
                tn_fail(&work->engine->ops.failure, TENEBRA_ERROR_CANCELLED, "ask", "was cancelled");
        }
}

void tn_work_begin(tn_work *work, tn_engine *engine, tn_reasoner *const *reasoners, size_t count)
{
    bool wanted = false;
    for (size_t i = 0; i < count; i++)
        wanted |= reasoners[i]->work.name != NULL;
    *work = (tn_work){ engine, reasoners, count };
    engine->ops.cancel = count == 1 ? reasoners[0]->loop.cancel : NULL;
    engine->ops.on_layer = wanted ? tell_layers : NULL;
    engine->ops.on_layer_user = work;
}

void tn_work_end(const tn_work *work)
{
    work->engine->ops.cancel = NULL;
    work->engine->ops.on_layer = NULL;
}

void tn_reasoner_start_work(tn_reasoner *reasoner, const char *name, size_t layers)
{
    const tenebra_request *request = reasoner->request;
    reasoner->work.name = request->work && request->on_event != NULL ? name : NULL;
    reasoner->work.done = 0;
    reasoner->work.total = layers;
}

void tn_reasoner_end_work(tn_reasoner *reasoner)
{
    reasoner->work.name = NULL;
}
