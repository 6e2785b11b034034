// SPDX-License-Identifier: Apache-2.0
//
// Gives the calling Java thread another floating-point environment, as a library that it calls might: org.steptuner.FloatingPointTest.
#include <jni.h>
#include <xmmintrin.h>

// Returns the environment that there was (MXCSR).
extern "C" JNIEXPORT jint JNICALL Java_org_steptuner_FloatingPointTest_exchange(JNIEnv*, jclass, jint environment) {
  const unsigned before = _mm_getcsr();
  _mm_setcsr(static_cast<unsigned>(environment));
  return static_cast<jint>(before);
}
