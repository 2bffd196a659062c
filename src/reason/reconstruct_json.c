#include "reason/reconstruct_json.h"

#include <math.h>
#include <stdlib.h>

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *picture(const unsigned char *rgb, size_t side)
{
    static const char digits[] = "0123456789abcdef";
    size_t bytes = side * side * 3;
    char *text = rgb != NULL ? malloc(2 * bytes + 1) : NULL;
    for (size_t i = 0; text != NULL && i < bytes; i++) {
        text[2 * i] = digits[rgb[i] >> 4];
        text[2 * i + 1] = digits[rgb[i] & 15];
    }
    json_t *json = text != NULL ? json_stringn(text, 2 * bytes) : json_null();
    free(text);
    return json;
}

json_t *tn_reconstruction_json(const tenebra_reconstruction *made)
{
    return json_pack("{s:s?, s:I, s:o, s:o, s:o, s:o, s:o}", "note", made->note, "side", (json_int_t)made->side, "seen",
                     picture(made->seen, made->side), "error", number(made->error), "other_error", number(made->other_error), "loss",
                     number(made->loss), "other_loss", number(made->other_loss));
}

void tn_reconstruction_add_step(json_t *json, const tenebra_trace *trace, const tenebra_step *step)
{
    if (trace->reconstruction != NULL && step->reconstruction != NULL)
        json_object_set_new(json, "reconstruction",
                            json_pack("{s:o, s:o}", "rgb", picture(step->reconstruction, trace->reconstruction->side), "error",
                                      number(step->reconstruction_error)));
}
