/* Android's liblog.so, to standard error. */
#include <stdarg.h>
#include <stdio.h>

int __android_log_write(int priority, const char *tag, const char *text) {
    return fprintf(stderr, "%s: %s\n", tag, text);
}

int __android_log_vprint(int priority, const char *tag, const char *format, va_list values) {
    fprintf(stderr, "%s: ", tag);
    vfprintf(stderr, format, values);
    return fputc('\n', stderr);
}

int __android_log_print(int priority, const char *tag, const char *format, ...) {
    va_list values;
    va_start(values, format);
    int written = __android_log_vprint(priority, tag, format, values);
    va_end(values);
    return written;
}
