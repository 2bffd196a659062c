/* Addresses given in place of paths. */
#ifndef TN_BASE_ADDRESS_H
#define TN_BASE_ADDRESS_H

/* What to do if a path that cannot be opened is an address, such as https://...; NULL if it is none. Threads: any. */
const char *tn_address_hint(const char *path);

#endif
