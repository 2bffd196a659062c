/* The page of one answer: `tenebra run --report`. */
#ifndef TN_APP_RUN_REPORT_H
#define TN_APP_RUN_REPORT_H

#include "base/status.h"

/* Writes the page about the answer that the session has just given to the request, which had `scores`. Asks the session
 * once more, with a neutral prompt; `trace` is then invalid. `model`: its directory. `title`: the original question;
 * NULL: that of the last message. Errors: those of tenebra_session_ask and tn_report_one, IO. */
tenebra_code tn_run_report(const char *path, const char *model, tenebra_session *session, const tenebra_request *request,
                           const char *title, const tenebra_trace *trace, tenebra_error *error);

#endif
