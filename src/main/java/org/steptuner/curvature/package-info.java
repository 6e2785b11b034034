// SPDX-License-Identifier: Apache-2.0
/**
 * What a trainer supplies to tuners that look along the update (losses, gradients, curvatures, Hessian-vector products), one small
 * interface each, and instruments that read the sharpness along a run.
 */
package org.steptuner.curvature;
