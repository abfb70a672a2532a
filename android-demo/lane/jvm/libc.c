/* What libonnxruntime4j_jni.so wants of Android's libc, from glibc's. */
#include <dlfcn.h>
#include <stddef.h>
#include <stdlib.h>

static void *glibc(const char *name) {
    static void *library;
    if (!library) library = dlopen("libc.so.6", RTLD_NOW);
    return dlsym(library, name);
}

#define FORWARD(result, name, parameters, arguments) \
    result name parameters { \
        static result(*real) parameters; \
        if (!real) real = glibc(#name); \
        return real arguments; \
    }

FORWARD(void *, malloc, (size_t size), (size))
FORWARD(void *, realloc, (void *block, size_t size), (block, size))
FORWARD(void *, memcpy, (void *to, const void *from, size_t size), (to, from, size))
FORWARD(size_t, strlen, (const char *text), (text))
FORWARD(int, dlclose, (void *library), (library))
FORWARD(int, __cxa_atexit, (void (*call)(void *), void *with, void *of), (call, with, of))

void free(void *block) {
    static void (*real)(void *);
    if (!real) real = glibc("free");
    real(block);
}

void __cxa_finalize(void *of) {}
void __stack_chk_fail(void) { abort(); }
int __register_atfork(void (*a)(void), void (*b)(void), void (*c)(void), void *of) { return 0; }
