// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench;

/**
 * One measurement.
 *
 * @param benchmark what was timed
 * @param size elements
 * @param dtype of parameters and gradients
 * @param threads on the CPU
 * @param device what it ran on
 * @param timeNs median time of one operation
 * @param wordsPerElement accesses per element; null where they are not known
 * @param gbPerSecond bytes of these accesses per nanosecond; null likewise
 * @param fractionOfCeiling the twin's time over this one, median over the rounds; null where there is no twin
 * @param peer what this was compared with, or null
 * @param timeOverPeer this time over the peer's, median over the rounds; null where there is no peer
 * @param allocatedBytesPerOp on the Java heap; null where it was not counted
 */
record Row(
    String benchmark,
    long size,
    String dtype,
    int threads,
    String device,
    double timeNs,
    Double wordsPerElement,
    Double gbPerSecond,
    Double fractionOfCeiling,
    String peer,
    Double timeOverPeer,
    Double allocatedBytesPerOp) {}
