/* tenebra: multimodal latent reasoning on vision-language models.
 *
 * This is the only public header. Handles are opaque and come in open/close
 * pairs. Every function that can fail takes a `tenebra_error *` (may be NULL)
 * and either returns a `tenebra_code` (0 is success) or a pointer (NULL is
 * failure). The record is filled only on failure.
 */
#ifndef TENEBRA_H
#define TENEBRA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define TENEBRA_API __attribute__((visibility("default")))
#else
#define TENEBRA_API
#endif

/* ------------------------------------------------------------- errors -- */

typedef enum tenebra_code {
    TENEBRA_OK = 0,
    TENEBRA_ERROR_ARGUMENT,    /* the caller asked for something impossible        */
    TENEBRA_ERROR_IO,          /* the system could not open, read or write         */
    TENEBRA_ERROR_FORMAT,      /* a file or message is not what it claims to be    */
    TENEBRA_ERROR_UNSUPPORTED, /* well-formed, but outside of what is implemented  */
    TENEBRA_ERROR_MISMATCH,    /* parts do not fit: tensors and config, ids and vocabulary */
    TENEBRA_ERROR_LIMIT,       /* beyond a configured cap: pixels, context, bytes  */
    TENEBRA_ERROR_MEMORY,      /* the system has no more memory                    */
    TENEBRA_ERROR_CANCELLED    /* the caller's callback or tenebra_session_cancel asked to stop */
} tenebra_code;

/* One failure: what kind, where (file, option or tensor), and a sentence that
 * says what is wrong and, where possible, what to do. Always zero-terminated. */
typedef struct tenebra_error {
    tenebra_code code;
    char where[256];
    char sentence[512];
} tenebra_error;

#ifdef __cplusplus
}
#endif

#endif
