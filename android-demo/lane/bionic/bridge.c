/* Android's libc.so, as far as libonnxruntime.so needs it, on top of glibc.
 *
 * Most functions are the same in both and are passed on by generated trampolines.  Here is what
 * differs: the layout of mutexes, condition variables and signal sets, numbers of sysconf, names. */
#include <stddef.h>
#include <stdint.h>

typedef void *(*function)();
extern function slots[];
extern const uint64_t slot_count;
extern const char *const slot_names[];

void *bridge_dlsym(const char *name); /* of the executable */

/* Three FILEs of Android's, whose addresses it takes. */
char __sF[3 * 152];
void *stdin, *stdout, *stderr;

static struct {
    int (*mutex_init)(void *, const void *);
    int (*mutex_lock)(void *), (*mutex_trylock)(void *), (*mutex_unlock)(void *);
    int (*cond_wait)(void *, void *), (*cond_timedwait)(void *, void *, const void *);
    int (*cond_signal)(void *), (*cond_broadcast)(void *);
    int (*attr_init)(void *), (*attr_setstacksize)(void *, size_t);
    int (*create)(void *, void *, void *, void *);
    void *(*calloc)(size_t, size_t);
    int *(*errno_location)(void);
    long (*sysconf)(int), (*syscall)(long, ...);
    char *(*strerror_r)(int, char *, size_t), *(*strchr)(const char *, int);
    int (*xpg_strerror_r)(int, char *, size_t);
    size_t (*strlen)(const char *);
    void (*abort)(void);
} real;

__attribute__((constructor)) static void bind(void) {
    for (uint64_t i = 0; i < slot_count; i++) slots[i] = (function)bridge_dlsym(slot_names[i]);
    stdin = *(void **)bridge_dlsym("stdin");
    stdout = *(void **)bridge_dlsym("stdout");
    stderr = *(void **)bridge_dlsym("stderr");
    real.mutex_init = bridge_dlsym("pthread_mutex_init");
    real.mutex_lock = bridge_dlsym("pthread_mutex_lock");
    real.mutex_trylock = bridge_dlsym("pthread_mutex_trylock");
    real.mutex_unlock = bridge_dlsym("pthread_mutex_unlock");
    real.cond_wait = bridge_dlsym("pthread_cond_wait");
    real.cond_timedwait = bridge_dlsym("pthread_cond_timedwait");
    real.cond_signal = bridge_dlsym("pthread_cond_signal");
    real.cond_broadcast = bridge_dlsym("pthread_cond_broadcast");
    real.attr_init = bridge_dlsym("pthread_attr_init");
    real.attr_setstacksize = bridge_dlsym("pthread_attr_setstacksize");
    real.create = bridge_dlsym("pthread_create");
    real.calloc = bridge_dlsym("calloc");
    real.errno_location = bridge_dlsym("__errno_location");
    real.sysconf = bridge_dlsym("sysconf");
    real.syscall = bridge_dlsym("syscall");
    real.strerror_r = bridge_dlsym("strerror_r");
    real.xpg_strerror_r = bridge_dlsym("__xpg_strerror_r");
    real.strlen = bridge_dlsym("strlen");
    real.strchr = bridge_dlsym("strchr");
    real.abort = bridge_dlsym("abort");
}

/* Android's mutexes and condition variables are smaller than glibc's, and need no initialization:
 * the first word of each becomes a handle, marked by its highest bit, of one of glibc's. */
#define HANDLE 0x80000000u
static void *handles[1 << 20];
static uint32_t handle_count;

static void *object(uint32_t *word, int is_mutex) {
    uint32_t found = __atomic_load_n(word, __ATOMIC_ACQUIRE);
    if (found & HANDLE) return handles[found & ~HANDLE];
    void *made = real.calloc(1, 64);
    if (is_mutex) {
        uint32_t recursive[4] = {1}; /* Android has the kind in bits 14 and 15 */
        real.mutex_init(made, (found >> 14 & 3) == 1 ? recursive : 0);
    }
    uint32_t number = __atomic_fetch_add(&handle_count, 1, __ATOMIC_RELAXED);
    if (number >= sizeof handles / sizeof *handles) real.abort();
    handles[number] = made;
    if (__atomic_compare_exchange_n(
            word, &found, number | HANDLE, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return made;
    return handles[found & ~HANDLE]; /* another thread was first */
}

int pthread_mutex_init(uint32_t *m, const uint32_t *kind) {
    *m = kind && (*kind & 3) == 1 ? 1 << 14 : 0;
    object(m, 1);
    return 0;
}
int pthread_mutex_destroy(uint32_t *m) { return 0; }
int pthread_mutex_lock(uint32_t *m) { return real.mutex_lock(object(m, 1)); }
int pthread_mutex_trylock(uint32_t *m) { return real.mutex_trylock(object(m, 1)); }
int pthread_mutex_unlock(uint32_t *m) { return real.mutex_unlock(object(m, 1)); }
int pthread_cond_wait(uint32_t *c, uint32_t *m) {
    return real.cond_wait(object(c, 0), object(m, 1));
}
int pthread_cond_timedwait(uint32_t *c, uint32_t *m, const void *until) {
    return real.cond_timedwait(object(c, 0), object(m, 1), until);
}
int pthread_cond_signal(uint32_t *c) { return real.cond_signal(object(c, 0)); }
int pthread_cond_broadcast(uint32_t *c) { return real.cond_broadcast(object(c, 0)); }
int pthread_cond_destroy(uint32_t *c) { return 0; }

/* The attributes of a thread are smaller, too: they hold a pointer to glibc's. */
int pthread_attr_init(void **a) { return real.attr_init(*a = real.calloc(1, 128)); }
int pthread_attr_setstacksize(void **a, size_t size) { return real.attr_setstacksize(*a, size); }
int pthread_create(void *thread, void **a, void *start, void *with) {
    return real.create(thread, a ? *a : 0, start, with);
}

int sigfillset(uint64_t *set) {
    *set = ~0ull;
    return 0;
}
int pthread_sigmask(int how, const uint64_t *set, uint64_t *old) {
    return real.syscall(135 /* rt_sigprocmask */, (long)how, set, old, 8L);
}

long sysconf(int name) {
    switch (name) { /* Android's numbers of what ONNX Runtime asks for, and glibc's */
        case 6: return real.sysconf(2);            /* _SC_CLK_TCK */
        case 39: case 40: return real.sysconf(30); /* _SC_PAGESIZE */
        case 96: return real.sysconf(83);          /* _SC_NPROCESSORS_CONF */
        case 97: return real.sysconf(84);          /* _SC_NPROCESSORS_ONLN */
        case 98: return real.sysconf(85);          /* _SC_PHYS_PAGES */
        case 99: return real.sysconf(86);          /* _SC_AVPHYS_PAGES */
    }
    return -1;
}

int *__errno(void) { return real.errno_location(); }
char *__gnu_strerror_r(int e, char *text, size_t n) { return real.strerror_r(e, text, n); }
int strerror_r(int e, char *text, size_t n) { return real.xpg_strerror_r(e, text, n); }
int __FD_ISSET_chk(int fd, const uint64_t *set, size_t n) { return set[fd / 64] >> fd % 64 & 1; }
void __FD_SET_chk(int fd, uint64_t *set, size_t n) { set[fd / 64] |= 1ull << fd % 64; }
char *__strchr_chk(const char *text, int c, size_t n) { return real.strchr(text, c); }
size_t __strlen_chk(const char *text, size_t n) { return real.strlen(text); }
int __system_property_get(const char *name, char *value) {
    *value = 0;
    return 0;
}
int __register_atfork(void *a, void *b, void *c, void *of) { return 0; }
void android_set_abort_message(const char *text) {}
void __stack_chk_fail(void) { real.abort(); }
void __cxa_finalize(void *of) {}
