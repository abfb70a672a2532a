/* The one function of Android's libonnxruntime.so that a desktop's lacks; nobody calls it here. */
#include <stdlib.h>

void *OrtSessionOptionsAppendExecutionProvider_Nnapi(void *options, unsigned flags) { abort(); }
