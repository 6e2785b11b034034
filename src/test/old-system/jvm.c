// SPDX-License-Identifier: Apache-2.0
//
// Runs a Java class in this process, whatever loader the process has:  jvm LIBJVM package/Class [-OPTION...]
// The program `java` cannot be started by a loader that is named on the command line: it looks for its files beside that loader.
#include <dlfcn.h>
#include <jni.h>
#include <stdio.h>
#include <stdlib.h>

typedef jint (*CreateJavaVm)(JavaVM**, void**, void*);

int main(int count, char** arguments) {
  if (count < 3) return 2;
  void* const library = dlopen(arguments[1], RTLD_NOW | RTLD_GLOBAL);
  CreateJavaVm create = library ? (CreateJavaVm)dlsym(library, "JNI_CreateJavaVM") : NULL;
  if (!create) {
    fprintf(stderr, "%s\n", dlerror());
    return 1;
  }
  JavaVMOption* const options = calloc(count, sizeof *options);
  for (int i = 3; i < count; ++i) options[i - 3].optionString = arguments[i];
  JavaVMInitArgs settings = {JNI_VERSION_10, count - 3, options, JNI_FALSE};
  JavaVM* vm;
  JNIEnv* env;
  if (create(&vm, (void**)&env, &settings) != JNI_OK) return 1;
  const jclass program = (*env)->FindClass(env, arguments[2]);
  const jmethodID begin = program ? (*env)->GetStaticMethodID(env, program, "main", "([Ljava/lang/String;)V") : NULL;
  if (begin)
    (*env)->CallStaticVoidMethod(env, program, begin, (*env)->NewObjectArray(env, 0, (*env)->FindClass(env, "java/lang/String"), NULL));
  const int failed = (*env)->ExceptionCheck(env);
  if (failed) (*env)->ExceptionDescribe(env);
  (*vm)->DestroyJavaVM(vm);
  return failed;
}
