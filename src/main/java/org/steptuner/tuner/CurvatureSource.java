// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import org.steptuner.curvature.DirectionalCurvature;
import org.steptuner.curvature.GradientFunction;
import org.steptuner.curvature.HessianVectorProduct;

/** Where {@code <u, H u>} comes from. */
sealed interface CurvatureSource {
  record Directional(DirectionalCurvature curvature) implements CurvatureSource {
    @Override
    public String toString() {
      return "along the update";
    }
  }

  record Product(HessianVectorProduct hessian) implements CurvatureSource {
    @Override
    public String toString() {
      return "Hessian-vector product";
    }
  }

  /** @param step the length of the displacement; NaN for the default, which depends on |x| */
  record Difference(GradientFunction gradient, double step) implements CurvatureSource {
    @Override
    public String toString() {
      return "finite difference at " + (Double.isNaN(step) ? "the default step" : "" + step);
    }
  }
}
