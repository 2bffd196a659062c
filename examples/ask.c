/* Asks a question about a picture and shows how the model thought: ask MODEL PICTURE QUESTION */
#include <stdio.h>
#include <tenebra.h>

static bool show(void *user, const tenebra_event *event)
{
    (void)user;
    if (event->kind == TENEBRA_EVENT_STEP)
        printf("[latent step %zu: %zu image embeddings, |h| = %.3f]\n", event->index + 1, event->step->pick_count,
               event->step->hidden_norm);
    if (event->kind == TENEBRA_EVENT_TEXT)
        printf("%s", event->text);
    fflush(stdout);
    return true; /* false would cancel */
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return fprintf(stderr, "usage: %s MODEL PICTURE QUESTION\n", argv[0]), 2;
    tenebra_error error = { 0 };
    tenebra_model *model = tenebra_model_open(argv[1], NULL, &error);
    tenebra_session *session = model ? tenebra_session_open(model, NULL, &error) : NULL;
    tenebra_part parts[] = { { .kind = TENEBRA_PART_IMAGE_FILE, .text = argv[2] },
                             { .kind = TENEBRA_PART_TEXT, .text = argv[3] } };
    tenebra_message message = { "user", parts, 2 };
    tenebra_setting settings[] = { { "n-latent", "3" }, { "k-select", "8" } };
    tenebra_request request = { .messages = &message, .message_count = 1, .method = "ivt-lr", .settings = settings,
                                .setting_count = 2, .max_tokens = 32, .on_event = show };
    const tenebra_trace *trace = NULL;
    if (session && tenebra_session_ask(session, &request, &trace, &error) == TENEBRA_OK)
        printf("\n%zu prompt rows, %zu latent passes, %zu embeddings fed again, %zu tokens, %.1f ms\n",
               trace->prompt_tokens, trace->latent_steps, trace->injected_tokens, trace->token_count, trace->total_ms);
    if (error.code != TENEBRA_OK)
        fprintf(stderr, "%s: %s\n", error.where, error.sentence);
    tenebra_session_close(session);
    tenebra_model_close(model);
    return error.code != TENEBRA_OK;
}
