// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench;

import java.util.List;

/**
 * A run of the benchmark as its JSON file holds it: what was run, on what, and every row.
 *
 * @param command as typed
 * @param date when it ended, as in 2026-11-25
 * @param minutes it took
 * @param cpu as the system calls it
 * @param processors that the JVM saw
 * @param caches of one processor
 * @param java the JVM and its version
 * @param load average at the end
 * @param notes that a reader must know, such as a peer that is missing
 * @param rows in the order in which they were measured
 */
record Run(
    String command,
    String date,
    double minutes,
    String cpu,
    int processors,
    String caches,
    String java,
    String load,
    List<String> notes,
    List<Row> rows) {}
