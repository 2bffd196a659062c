#include "app/seen.h"

#include "app/app.h"
#include "image/decode.h"

static void tell(const tn_trained *trained)
{
    char words[TN_TRAINED_PICTURES_SIZE];
    if (tn_trained_pictures(trained, words) != NULL)
        tn_app_tell("note       images are resized %s, as in training; --image-size or --image-max-tokens changes that\n", words);
}

/* Whether an image has the size of training, in either orientation. */
static bool has_size(const tn_trained *trained, const tenebra_part *part)
{
    tn_image image = { 0 };
    tenebra_error error;
    bool file = part->kind == TENEBRA_PART_IMAGE_FILE;
    tenebra_code code = file ? tn_image_read(&image, part->text, NULL, false, &error)
                             : tn_image_decode(&image, part->bytes, part->length, NULL, false, NULL, &error);
    bool same = code == TENEBRA_OK && image.width == trained->image.width && image.height == trained->image.height;
    tn_image_free(&image);
    return same;
}

void tn_app_tell_size(const tn_trained *trained, const tenebra_message *turns, size_t turn_count)
{
    bool same = trained->image.width > 0 && turn_count > 0;
    for (size_t t = 0; t < turn_count; t++)
        for (size_t p = 0; p < turns[t].part_count && same; p++)
            same = turns[t].parts[p].kind == TENEBRA_PART_TEXT || has_size(trained, &turns[t].parts[p]);
    if (!same)
        tell(trained);
}

void tn_app_tell_plan_size(const tn_trained *trained, const tn_eval_plan *plan)
{
    const tn_data_options options = { .limit = plan->limit, .without_images = plan->without_images };
    tn_data *data = NULL;
    if (trained->image.width > 0)
        tn_data_open(plan->data, plan->split ? plan->split : "test", &options, &data, NULL);
    bool same = data != NULL;
    for (size_t i = 0; same && i < tn_data_count(data); i++) {
        const tn_sample *sample = tn_data_sample(data, i);
        for (size_t k = 0; k < sample->image_count && same; k++)
            same = has_size(trained, &(tenebra_part){ .kind = TENEBRA_PART_IMAGE_FILE, .text = sample->images[k] });
    }
    tn_data_close(data);
    if (!same)
        tell(trained);
}
