/* Pictures in PNG files. */
#ifndef WF_IO_PNG_H
#define WF_IO_PNG_H

#include <weft/weft.h>

/* rgb is [height, width, 3], rows from top to bottom. Replaces the file as a whole. */
wf_status wf_png_save(const char *path, int width, int height, const uint8_t *rgb);

#endif
