// SPDX-License-Identifier: Apache-2.0
/** What a jar with a library for another device implements. Programs that train do not need it. */
package org.steptuner.spi;
