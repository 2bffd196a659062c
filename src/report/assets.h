/* Files of this folder as bytes, included by the build (cmake/assets.cmake). */
#ifndef TN_REPORT_ASSETS_H
#define TN_REPORT_ASSETS_H

#include <stddef.h>

typedef struct tn_asset {
    const unsigned char *bytes;
    size_t length;
} tn_asset;

extern const tn_asset tn_asset_page_css; /* styles            */
extern const tn_asset tn_asset_page_js;  /* script, mostly for questions */

#endif
