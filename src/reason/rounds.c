#include "reason/rounds.h"

#include "base/checked.h"
#include "reason/loop.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Spans up to this length (tokens and latent steps) take precedence over pieces of prompts. */
enum { SHORT_ROWS = 64 };

/* A generation in progress. */
typedef struct place {
    tn_reasoner *reasoner;
    tn_span span;    /* what the loop waits for */
    size_t done;     /* rows of the span that ran */
    tn_span_tap tap; /* tap of the current piece */
    bool over;
    tenebra_code code;
    tenebra_error error;
    void *user;
    bool taken; /* the result was taken, or the place was never used */
} place;

/* A piece of a place's span for one round. */
typedef struct piece {
    tn_span span;
    place *of;
} piece;

struct tn_rounds {
    size_t count;
    tn_session **sessions;  /* [count] */
    tn_reasoner *reasoners; /* [count] */
    place *places;          /* [count] */
    place *running[TN_ROUNDS_PLACES_MAX]; /* the oldest first */
    size_t running_count;
};

/* ----------------------------------------------------------------- a round -- */

static void end(place *p, tenebra_code code)
{
    p->over = true;
    p->code = code;
    tn_reasoner_end_work(p->reasoner);
}

static bool is_cancelled(const tn_reasoner *reasoner)
{
    return reasoner->loop.cancelled || (reasoner->loop.cancel != NULL && atomic_load(reasoner->loop.cancel));
}

/* Continues until rows have to run, or the answer has ended. */
static void advance(place *p)
{
    tn_reasoner *reasoner = p->reasoner;
    tn_need need = TN_NEED_PICTURES;
    tenebra_code code = TENEBRA_OK;
    while (code == TENEBRA_OK && need == TN_NEED_PICTURES) {
        tn_session_enter(reasoner->session);
        code = is_cancelled(reasoner) ? tn_fail(&p->error, TENEBRA_ERROR_CANCELLED, "ask", "was cancelled")
                                      : tn_reasoner_advance(reasoner, &need, &p->span, &p->error);
        if (code == TENEBRA_OK && need == TN_NEED_PICTURES)
            code = tn_reasoner_encode_pictures(reasoner, &p->error);
    }
    p->done = 0;
    if (code != TENEBRA_OK || need == TN_NEED_NOTHING)
        end(p, code);
}

/* Takes the next rows of a place's span, at most `room` of them unless all are required at once. */
static tn_span cut(place *p, size_t room)
{
    tn_span span = p->span;
    size_t left = span.count - p->done;
    span.count = span.wants_rows ? left : tn_min(left, room);
    span.rows = span.count > 0 ? span.rows + p->done : NULL;
    if (span.count < left) {
        span.logits = NULL;
        span.tap = NULL;
    } else if (span.tap != NULL) {
        p->tap = *span.tap;
        p->tap.query -= p->done;
        span.tap = &p->tap;
    }
    return span;
}

/* Takes short spans first, then as much of the others as fits, the oldest first. If there is only one place, it gets all its
 * rows. */
static size_t compose(place *const *places, size_t count, piece *pieces)
{
    size_t found = 0, rows = 0, limit = count > 1 ? TN_ENGINE_ROUND : SIZE_MAX;
    for (int is_long = 0; is_long < 2; is_long++)
        for (size_t i = 0; i < count; i++) {
            size_t left = places[i]->span.count - places[i]->done;
            bool fits = rows < limit && (!places[i]->span.wants_rows || rows == 0 || left <= limit - rows);
            if ((left > SHORT_ROWS) != is_long || (is_long && !fits))
                continue;
            pieces[found] = (piece){ cut(places[i], is_long ? limit - rows : left), places[i] };
            rows += pieces[found++].span.count;
        }
    return found;
}

static void run_alone(tn_engine *engine, piece *one)
{
    tn_reasoner *reasoner = one->of->reasoner;
    tn_work work;
    tn_work_begin(&work, engine, &reasoner, 1);
    tenebra_code code = tn_engine_run(engine, &one->span, 1, &one->of->error);
    tn_work_end(&work);
    if (code != TENEBRA_OK)
        end(one->of, code);
}

/* Runs pieces with the same adapters. If this fails, runs each piece separately, so that the error reaches only the answer that
 * it belongs to; the others get the bits that they would have got. */
static void run_together(tn_engine *engine, piece *pieces, size_t count)
{
    tn_span spans[TN_ROUNDS_PLACES_MAX];
    tn_reasoner *reasoners[TN_ROUNDS_PLACES_MAX];
    tn_session_enter(pieces[0].of->reasoner->session);
    for (size_t i = 0; i < count; i++) {
        spans[i] = pieces[i].span;
        reasoners[i] = pieces[i].of->reasoner;
    }
    tenebra_code code = TENEBRA_ERROR_ARGUMENT;
    if (count > 1) {
        tn_work work;
        tn_work_begin(&work, engine, reasoners, count);
        code = tn_engine_run(engine, spans, count, NULL);
        tn_work_end(&work);
    }
    for (size_t i = 0; i < count; i++)
        if (code == TENEBRA_OK)
            pieces[i].span = spans[i];
        else
            run_alone(engine, &pieces[i]);
}

/* Moves the pieces with the pass of the first one to the front; returns their number. */
static size_t gather_pass(piece *pieces, size_t count)
{
    size_t same = 1;
    for (size_t i = 1; i < count; i++)
        if (pieces[i].of->reasoner->session->pass == pieces[0].of->reasoner->session->pass) {
            piece moved = pieces[i];
            pieces[i] = pieces[same];
            pieces[same++] = moved;
        }
    return same;
}

/* Runs a round. Before it, all places have a span; after it, each has its next span or has ended. */
static void run_round(tn_engine *engine, place *const *places, size_t count)
{
    piece pieces[TN_ROUNDS_PLACES_MAX];
    size_t mark = tn_ops_mark(&engine->ops), found = compose(places, count, pieces);
    for (size_t i = 0, same; i < found; i += same)
        run_together(engine, pieces + i, same = gather_pass(pieces + i, found - i));
    for (size_t i = 0; i < found; i++) {
        place *p = pieces[i].of;
        p->done += pieces[i].span.count;
        p->span.out = pieces[i].span.out;
        if (!p->over && p->done == p->span.count)
            advance(p);
    }
    tn_ops_release(&engine->ops, mark);
}

/* ------------------------------------------------------------------- one -- */

tenebra_code tn_reasoner_answer(tn_reasoner *reasoner, tenebra_error *error)
{
    place alone = { .reasoner = reasoner }, *const places[] = { &alone };
    advance(&alone);
    while (!alone.over)
        run_round(reasoner->session->engine, places, 1);
    if (alone.code != TENEBRA_OK && error != NULL)
        *error = alone.error;
    return alone.code;
}

tenebra_code tn_reasoner_answer_rows(tn_reasoner *reasoner, tn_row *rows, size_t count, tenebra_error *error)
{
    reasoner->conversation.prompt = rows;
    reasoner->conversation.prompt_count = count;
    return tn_reasoner_answer(reasoner, error);
}

/* -------------------------------------------------------------------- many -- */

/* Memory of keys and values is used only as far as sequences grow, so only a number that could never fit is refused. */
static tenebra_code check_memory(const tn_session *session, size_t places, tenebra_error *error)
{
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    double all = (double)session->sequence.memory.capacity * (double)places, memory = (double)pages * (double)size;
    if (places == 1 || pages <= 0 || size <= 0 || all <= memory)
        return TENEBRA_OK;
    return tn_fail(error, TENEBRA_ERROR_LIMIT, "context", "%zu sequences of %zu rows take %.1f GB of keys and values, and the machine "
                   "has %.1f GB of memory; answer fewer at once (--parallel), or make them shorter (-c) or smaller (--cache-type bf16)",
                   places, session->sequence.capacity, all / 1e9, memory / 1e9);
}

static tenebra_code open_places(tn_rounds *rounds, const tn_model *model, const tn_session_options *options, size_t places,
                                tenebra_error *error)
{
    rounds->sessions = calloc(places, sizeof(tn_session *));
    rounds->reasoners = calloc(places, sizeof *rounds->reasoners);
    rounds->places = calloc(places, sizeof *rounds->places);
    if (rounds->sessions == NULL || rounds->reasoners == NULL || rounds->places == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "session", "no memory");
    for (size_t i = 0; i < places; i++) {
        tn_session *session;
        TN_TRY(i == 0 ? tn_session_open(model, options, &session, error) : tn_session_open_beside(rounds->sessions[0], &session, error));
        rounds->sessions[rounds->count++] = session;
        rounds->places[i] = (place){ .reasoner = &rounds->reasoners[i], .taken = true };
        if (i == 0)
            TN_TRY(check_memory(session, places, error));
    }
    return TENEBRA_OK;
}

tenebra_code tn_rounds_open(tn_rounds **rounds, const tn_model *model, const tn_session_options *options, size_t places,
                            tenebra_error *error)
{
    tenebra_error own;
    error = error != NULL ? error : &own;
    *rounds = NULL;
    if (places == 0 || places > TN_ROUNDS_PLACES_MAX)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "parallel", "%zu is not a number from 1 to %d", places, TN_ROUNDS_PLACES_MAX);
    tn_rounds *opened = calloc(1, sizeof *opened);
    if (opened == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "session", "no memory");
    tenebra_code code = open_places(opened, model, options, places, error);
    if (code == TENEBRA_OK)
        *rounds = opened;
    else
        tn_rounds_close(opened);
    return code;
}

void tn_rounds_close(tn_rounds *rounds)
{
    if (rounds == NULL)
        return;
    for (size_t i = 0; i < rounds->running_count; i++)
        tn_reasoner_close(rounds->running[i]->reasoner);
    for (size_t i = rounds->count; i > 0; i--) /* the first session owns what they share */
        tn_session_close(rounds->sessions[i - 1]);
    free(rounds->sessions);
    free(rounds->reasoners);
    free(rounds->places);
    free(rounds);
}

static place *free_place(const tn_rounds *rounds)
{
    for (size_t i = 0; i < rounds->count; i++)
        if (rounds->places[i].taken)
            return &rounds->places[i];
    return NULL;
}

tenebra_code tn_rounds_begin(tn_rounds *rounds, const tenebra_request *request, const tn_method *method, const atomic_bool *cancel,
                             void *user, tenebra_error *error)
{
    place *p = free_place(rounds);
    if (p == NULL)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, "parallel", "%zu answers are in progress, which is the maximum that was requested",
                       rounds->count);
    tn_session *session = rounds->sessions[p - rounds->places];
    TN_TRY(tn_reasoner_open_method(p->reasoner, session, request, method, cancel, error));
    *p = (place){ .reasoner = p->reasoner, .user = user };
    rounds->running[rounds->running_count++] = p;
    return TENEBRA_OK;
}

bool tn_rounds_has_room(const tn_rounds *rounds)
{
    return free_place(rounds) != NULL;
}

size_t tn_rounds_busy(const tn_rounds *rounds)
{
    size_t busy = 0;
    for (size_t i = 0; i < rounds->count; i++)
        busy += !rounds->places[i].taken;
    return busy;
}

/* Keeps the places that have not ended, in their order. */
static void drop_ended(tn_rounds *rounds)
{
    size_t kept = 0;
    for (size_t i = 0; i < rounds->running_count; i++) {
        place *p = rounds->running[i];
        if (p->over)
            tn_reasoner_close(p->reasoner);
        else
            rounds->running[kept++] = p;
    }
    rounds->running_count = kept;
}

void tn_rounds_run(tn_rounds *rounds)
{
    for (size_t i = 0; i < rounds->running_count; i++)
        if (rounds->running[i]->reasoner->loop.phase == TN_PHASE_START)
            advance(rounds->running[i]);
    drop_ended(rounds);
    if (rounds->running_count > 0)
        run_round(rounds->sessions[0]->engine, rounds->running, rounds->running_count);
    drop_ended(rounds);
}

bool tn_rounds_take(tn_rounds *rounds, tn_rounds_end *ended)
{
    for (size_t i = 0; i < rounds->count; i++) {
        place *p = &rounds->places[i];
        if (!p->over || p->taken)
            continue;
        p->taken = true;
        *ended = (tn_rounds_end){ .user = p->user, .code = p->code, .error = p->error,
                                  .trace = p->code == TENEBRA_OK ? &p->reasoner->trace : NULL };
        return true;
    }
    return false;
}
