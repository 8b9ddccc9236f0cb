/* PNG through libpng's simplified interface, which needs no setjmp and cleans up after itself. */
#include "io/png.h"

#include "io/file.h"
#include <png.h>

wf_status wf_png_save(const char *path, int width, int height, const uint8_t *rgb)
{
    wf_out o;
    wf_status s = wf_out_open(&o, path);
    if (s != WF_OK) return s;
    png_image image = {
        .version = PNG_IMAGE_VERSION,
        .width = (png_uint_32)width,
        .height = (png_uint_32)height,
        .format = PNG_FORMAT_RGB,
    };
    bool ok = png_image_write_to_stdio(&image, o.file, 0, rgb, 0, NULL);
    if (ok || ferror(o.file)) return wf_out_commit(&o); /* it knows the system's reason */
    wf_out_abandon(&o);
    return wf_file_error(WF_EIO, path, 0, "cannot be written as PNG: %s", image.message);
}
