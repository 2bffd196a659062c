/* How other systems grant the use of tiles is not known here. */
#include "kern/sets.h"

bool tn_amx_permitted(void) { return false; }
