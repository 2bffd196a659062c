/* How the other systems hand out the tiles is not known here. */
#include "kern/sets.h"

bool tn_amx_permitted(void) { return false; }
