/* run MODEL PROVIDER INPUT COUNT OUTPUT RUNS [PROFILE]
 *
 * Runs a digit model in Android's libonnxruntime.so.  INPUT holds COUNT images and OUTPUT gets their
 * probabilities, both float32.  Each run after the first lies between the system calls
 * close(0x7eadbe00) and close(0x7eadbe01), which the instruction counter looks for. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "onnxruntime_c_api.h"

/* Android's compiler expects a thread's stack guard 0x28 bytes behind the thread pointer, where glibc
 * puts the first thread-local variables: let those be some that never change. */
static __thread volatile char guard[256] = {1};

/* For bridge.c: a function of glibc. */
void *bridge_dlsym(const char *name) { return dlsym(RTLD_DEFAULT, name); }

static const OrtApi *api;

static void must(OrtStatus *status) {
    if (!status) return;
    fprintf(stderr, "%s\n", api->GetErrorMessage(status));
    exit(1);
}

static void append(OrtSessionOptions *options, const char *provider, void *library) {
    if (!strcmp(provider, "XNNPACK")) {
        const char *keys[] = {"intra_op_num_threads"}, *values[] = {"1"};
        must(api->SessionOptionsAppendExecutionProvider(options, provider, keys, values, 1));
    } else if (!strcmp(provider, "NNAPI")) {
        OrtStatus *(*nnapi)(OrtSessionOptions *, uint32_t) =
            dlsym(library, "OrtSessionOptionsAppendExecutionProvider_Nnapi");
        must(nnapi(options, 0));
    }
}

static void *contents(const char *path, size_t size) {
    FILE *file = fopen(path, "rb");
    void *data = malloc(size);
    if (!file || fread(data, 1, size, file) != size) {
        fprintf(stderr, "%s cannot be read, or is too short\n", path);
        exit(1);
    }
    fclose(file);
    return data;
}

int main(int count, char **arguments) {
    if (count < 7) return 2;
    guard[0] = 1;
    int64_t images = atoll(arguments[4]), shape[] = {images, 1, 28, 28};
    size_t bytes = images * 28 * 28 * sizeof(float);
    float *pixels = contents(arguments[3], bytes), *answer;

    void *library = dlopen("libonnxruntime.so", RTLD_NOW);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    const OrtApiBase *(*base)(void) = dlsym(library, "OrtGetApiBase");
    api = base()->GetApi(ORT_API_VERSION);
    printf("%s", base()->GetVersionString());
    char **names;
    int found;
    must(api->GetAvailableProviders(&names, &found));
    for (int i = 0; i < found; i++) printf(" %s", names[i]);
    puts("");

    OrtEnv *environment;
    OrtSessionOptions *options;
    must(api->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "run", &environment));
    must(api->CreateSessionOptions(&options));
    must(api->SetIntraOpNumThreads(options, 1));
    must(api->AddSessionConfigEntry(options, "session.intra_op.allow_spinning", "0"));
    append(options, arguments[2], library);
    if (count > 7) must(api->EnableProfiling(options, arguments[7]));
    OrtSession *session;
    must(api->CreateSession(environment, arguments[1], options, &session));

    OrtMemoryInfo *memory;
    OrtValue *input;
    const char *input_names[] = {"image"}, *output_names[] = {"probabilities"};
    must(api->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory));
    must(api->CreateTensorWithDataAsOrtValue(
        memory, pixels, bytes, shape, 4, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &input));
    const OrtValue *inputs[] = {input};
    OrtValue *output = 0;
    for (int run = 0; run <= atoi(arguments[6]); run++) {
        if (output) api->ReleaseValue(output);
        output = 0;
        if (run) close(0x7eadbe00);
        must(api->Run(session, 0, input_names, inputs, 1, output_names, 1, &output));
        if (run) close(0x7eadbe01);
    }
    must(api->GetTensorMutableData(output, (void **)&answer));
    FILE *file = fopen(arguments[5], "wb");
    if (!file || fwrite(answer, sizeof(float), images * 10, file) != images * 10) return 1;
    fclose(file);
    if (count > 7) {
        OrtAllocator *allocator;
        char *profile;
        must(api->GetAllocatorWithDefaultOptions(&allocator));
        must(api->SessionEndProfiling(session, allocator, &profile));
        puts(profile);
    }
    fflush(stdout);
    _exit(0); /* without the destructors of a C library that is not there */
}
