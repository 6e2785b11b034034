// SPDX-License-Identifier: Apache-2.0
package org.steptuner.conformance;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import java.util.HashSet;
import java.util.Set;

/**
 * The fields of a JSON object, read with messages that name the field. A field that is null counts as absent. Numbers may be the
 * strings "Infinity", "-Infinity" and "NaN".
 */
final class Fields {
  private final String where;
  private final JsonObject object;
  private final Set<String> read = new HashSet<>();

  /** @param where what the object is, for messages */
  Fields(String where, JsonObject object) {
    this.where = where;
    this.object = object;
  }

  boolean has(String name) {
    final JsonElement element = object.get(name);
    return element != null && !element.isJsonNull();
  }

  Fields object(String name) {
    return new Fields(where + "." + name, asObject(where(name), required(name)));
  }

  String text(String name) {
    final JsonElement element = required(name);
    if (!isString(element)) throw expected(where(name), "a string", element);
    return element.getAsString();
  }

  boolean flag(String name) {
    final JsonElement element = required(name);
    if (!isFlag(element)) throw expected(where(name), "true or false", element);
    return element.getAsBoolean();
  }

  boolean flag(String name, boolean absent) {
    return has(name) ? flag(name) : absent;
  }

  /** Whether the field is there and is true or false. */
  boolean isFlag(String name) {
    return has(name) && isFlag(object.get(name));
  }

  double number(String name) {
    return number(where(name), required(name));
  }

  double number(String name, double absent) {
    return has(name) ? number(name) : absent;
  }

  double[] numbers(String name) {
    return numbers(where(name), required(name));
  }

  int integer(String name) {
    final double number = number(name);
    if (number != Math.rint(number)) throw new IllFormedException(where(name) + " must be an integer, not " + number);
    return (int) number;
  }

  int[] integers(String name) {
    final double[] numbers = numbers(name);
    final int[] integers = new int[numbers.length];
    for (int i = 0; i < numbers.length; ++i) {
      integers[i] = (int) numbers[i];
      if (integers[i] != numbers[i]) throw new IllFormedException(where(name) + " must hold integers, not " + numbers[i]);
    }
    return integers;
  }

  /** Rows of numbers; where {@code scalarRows}, a number stands for a row of one. */
  double[][] rows(String name, boolean scalarRows) {
    final JsonArray array = asArray(where(name), required(name));
    final double[][] rows = new double[array.size()][];
    for (int i = 0; i < rows.length; ++i) {
      final JsonElement row = array.get(i);
      final String at = where(name) + "[" + i + "]";
      rows[i] = scalarRows && !row.isJsonArray() ? new double[] {number(at, row)} : numbers(at, row);
    }
    return rows;
  }

  boolean isArray(String name) {
    return has(name) && object.get(name).isJsonArray();
  }

  Set<String> names() {
    return object.keySet();
  }

  /** Refuses what nobody asked for: a hyperparameter that is not known must not be passed over in silence. */
  void refuseOthers() {
    for (String name : object.keySet())
      if (has(name) && !read.contains(name)) throw new IllFormedException(where + " has an unknown field '" + name + "'");
  }

  private String where(String name) {
    return where + "." + name;
  }

  private JsonElement required(String name) {
    if (!has(name)) throw new IllFormedException(where(name) + " is missing");
    read.add(name);
    return object.get(name);
  }

  private static JsonObject asObject(String where, JsonElement element) {
    if (!element.isJsonObject()) throw expected(where, "an object", element);
    return element.getAsJsonObject();
  }

  private static JsonArray asArray(String where, JsonElement element) {
    if (!element.isJsonArray()) throw expected(where, "a list", element);
    return element.getAsJsonArray();
  }

  private static double[] numbers(String where, JsonElement element) {
    final JsonArray array = asArray(where, element);
    final double[] numbers = new double[array.size()];
    for (int i = 0; i < numbers.length; ++i) numbers[i] = number(where + "[" + i + "]", array.get(i));
    return numbers;
  }

  private static double number(String where, JsonElement element) {
    if (element instanceof JsonPrimitive primitive) {
      if (primitive.isNumber()) return primitive.getAsDouble();
      if (primitive.isString()) {
        switch (primitive.getAsString()) {
          case "Infinity":
            return Double.POSITIVE_INFINITY;
          case "-Infinity":
            return Double.NEGATIVE_INFINITY;
          case "NaN":
            return Double.NaN;
          default:
        }
      }
    }
    throw expected(where, "a number", element);
  }

  private static boolean isString(JsonElement element) {
    return element instanceof JsonPrimitive primitive && primitive.isString();
  }

  private static boolean isFlag(JsonElement element) {
    return element instanceof JsonPrimitive primitive && primitive.isBoolean();
  }

  private static IllFormedException expected(String where, String what, JsonElement element) {
    final String found = element.toString();
    return new IllFormedException(
        where + " must be " + what + ", not " + (found.length() <= 60 ? found : found.substring(0, 60) + "..."));
  }
}
