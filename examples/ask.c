/* Asks a question about an image as `tenebra run` does, and prints the latent steps:
 *
 *     ask MODEL IMAGE QUESTION [CHOICE ...]
 *     ask models/default docs/hops.png "Follow four arrows from the orange square. Which colour is there?" red grey blue cyan
 */
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
    return true; /* false would cancel the question */
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return fprintf(stderr, "usage: %s MODEL PICTURE QUESTION [CHOICE ...]\n", argv[0]), 2;
    tenebra_error error = { 0 };
    const char *pictures[] = { argv[2] };
    tenebra_question question = TENEBRA_INIT(tenebra_question);
    question.text = argv[3];
    question.images = pictures;
    question.image_count = 1;
    question.choices = (const char *const *)&argv[4];
    question.choice_count = (size_t)argc - 4;
    tenebra_model *model = NULL;
    tenebra_session *session = NULL;
    tenebra_prompt *prompt = NULL;
    const tenebra_trace *trace = NULL;
    if (tenebra_model_open(&model, argv[1], NULL, &error) == TENEBRA_OK &&
        tenebra_session_open(&session, model, NULL, &error) == TENEBRA_OK &&
        tenebra_prompt_make(&prompt, model, &question, &error) == TENEBRA_OK) {
        tenebra_request request = TENEBRA_INIT(tenebra_request);
        tenebra_model_defaults(model, &request); /* use method and settings from the model's training */
        request.messages = tenebra_prompt_messages(prompt, &request.message_count);
        request.on_event = show;
        if (tenebra_session_ask(session, &request, &trace, &error) == TENEBRA_OK)
            printf("\n%zu prompt rows, %zu latent passes, %zu embeddings fed again, %zu tokens, %.1f ms\n",
                   trace->prompt_tokens, trace->latent_steps, trace->injected_tokens, trace->token_count, trace->total_ms);
    }
    if (error.code != TENEBRA_OK)
        fprintf(stderr, "%s: %s\n", error.where, error.sentence);
    tenebra_prompt_free(prompt);
    tenebra_session_close(session);
    tenebra_model_close(model);
    return error.code != TENEBRA_OK;
}
