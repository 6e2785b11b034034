// SPDX-License-Identifier: Apache-2.0
//
// Streams and graphs of the emulated CUDA, in which the library under test runs too: org.steptuner.EmulatedGraphs.
#include <cuda_runtime.h>
#include <jni.h>

namespace {

void check(JNIEnv* env, cudaError_t error) {
  if (error != cudaSuccess) env->ThrowNew(env->FindClass("java/lang/AssertionError"), cudaGetErrorString(error));
}

cudaStream_t streamOf(jlong handle) { return reinterpret_cast<cudaStream_t>(handle); }
cudaGraphExec_t executableOf(jlong handle) { return reinterpret_cast<cudaGraphExec_t>(handle); }

}  // namespace

extern "C" {

JNIEXPORT jlong JNICALL Java_org_steptuner_EmulatedGraphs_createStream(JNIEnv* env, jclass) {
  cudaStream_t stream = nullptr;
  check(env, cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  return reinterpret_cast<jlong>(stream);
}

JNIEXPORT void JNICALL Java_org_steptuner_EmulatedGraphs_destroyStream(JNIEnv* env, jclass, jlong stream) {
  check(env, cudaStreamDestroy(streamOf(stream)));
}

JNIEXPORT void JNICALL Java_org_steptuner_EmulatedGraphs_beginCapture(JNIEnv* env, jclass, jlong stream) {
  check(env, cudaStreamBeginCapture(streamOf(stream), cudaStreamCaptureModeGlobal));
}

JNIEXPORT jlong JNICALL Java_org_steptuner_EmulatedGraphs_endCapture(JNIEnv* env, jclass, jlong stream) {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  cudaError_t error = cudaStreamEndCapture(streamOf(stream), &graph);
  if (error == cudaSuccess) error = cudaGraphInstantiate(&executable, graph);
  if (graph) cudaGraphDestroy(graph);
  check(env, error);
  return reinterpret_cast<jlong>(executable);
}

JNIEXPORT void JNICALL Java_org_steptuner_EmulatedGraphs_launch(JNIEnv* env, jclass, jlong executable, jlong stream) {
  check(env, cudaGraphLaunch(executableOf(executable), streamOf(stream)));
}

JNIEXPORT void JNICALL Java_org_steptuner_EmulatedGraphs_destroyGraph(JNIEnv* env, jclass, jlong executable) {
  check(env, cudaGraphExecDestroy(executableOf(executable)));
}
}
