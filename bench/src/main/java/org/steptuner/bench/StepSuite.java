// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;
import org.steptuner.Device;
import org.steptuner.NonFinite;
import org.steptuner.rule.Adam;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.Lion;
import org.steptuner.rule.ScheduleFreeAdamW;
import org.steptuner.rule.ScheduleFreeSGD;
import org.steptuner.rule.SGD;
import org.steptuner.tuner.FixedRate;
import org.steptuner.tuner.Mechanic;
import org.steptuner.tuner.Prodigy;
import org.steptuner.tuner.TunerBuilder;

/** Whole steps against their twins and against other libraries' steps. */
final class StepSuite {
  static final String ADAMW = "AdamW";
  static final String ADAMW_GUARDED = "AdamW, guarded";
  static final String ADAMW_AVERAGED = "AdamW, averaged";
  static final String MECHANIC = "Mechanic over AdamW";
  static final String PRODIGY = "Prodigy";
  static final String SCHEDULE_FREE = "Schedule-Free AdamW";
  static final String ADAMW_FIXED = "AdamW at a fixed rate"; // ours again, beside Schedule-Free
  static final String FUSED = "libtorch _fused_adamw_";

  private StepSuite() {}

  static TunerBuilder<?> adamW() {
    return FixedRate.of(Torch.RATE, AdamW.defaults()).nonFinite(NonFinite.UNCHECKED);
  }

  static TunerBuilder<?> adamWGuarded() {
    return FixedRate.of(Torch.RATE, AdamW.defaults());
  }

  /** With an exponential average of the weights. */
  static TunerBuilder<?> adamWAveraged() {
    return FixedRate.of(Torch.RATE, AdamW.defaults()).nonFinite(NonFinite.UNCHECKED).exponentialAverage(0.999);
  }

  static TunerBuilder<?> mechanic() {
    return Mechanic.tuning(AdamW.defaults());
  }

  /** The form, rate and first scale of {@link TorchMechanic}. */
  static Mechanic authors(Mechanic.Delta delta) {
    return Mechanic.tuning(AdamW.defaults()).variant(Mechanic.Variant.TORCH).delta(delta).baseRate(TorchMechanic.BASE_RATE)
        .initialScale(TorchMechanic.INITIAL_SCALE);
  }

  /** The rates of {@link TorchProdigy}. */
  static TunerBuilder<?> prodigy() {
    return Prodigy.tuning(AdamW.defaults().weightDecay(Torch.DECAY)).initialRate(TorchProdigy.INITIAL_RATE).maxRate(TorchProdigy.MAX_RATE);
  }

  static TunerBuilder<?> lion() {
    return FixedRate.of(Torch.RATE, Lion.defaults().weightDecay(Torch.DECAY)).nonFinite(NonFinite.UNCHECKED);
  }

  static TunerBuilder<?> momentum() {
    return FixedRate.of(Torch.RATE, SGD.defaults().momentum(Torch.BETA1)).nonFinite(NonFinite.UNCHECKED);
  }

  static TunerBuilder<?> scheduleFreeAdamW() {
    return FixedRate.of(Torch.RATE, ScheduleFreeAdamW.defaults().weightDecay(Torch.DECAY)).nonFinite(NonFinite.UNCHECKED);
  }

  static TunerBuilder<?> scheduleFreeSgd() {
    return FixedRate.of(Torch.RATE, ScheduleFreeSGD.defaults()).nonFinite(NonFinite.UNCHECKED);
  }

  static TunerBuilder<?> adam() {
    return FixedRate.of(Torch.RATE, Adam.defaults()).nonFinite(NonFinite.UNCHECKED);
  }

  static void run(Settings settings, Results results, List<ForkedPeer> forked) {
    checkPeers(settings);
    for (long size : settings.stepSizes()) {
      results.header("Steps over one tensor of " + size + " elements, float32");
      for (int threads : settings.threads()) {
        final Group group = new Group(Shapes.one(size), threads, settings, results);
        group.run("step/adamw", true,
            List.of(ADAMW, ADAMW_GUARDED, MECHANIC), List.of(adamW(), adamWGuarded(), mechanic()), Torch.FusedAdamW::new);
        if (settings.quick() && (size != 10_000_000 || threads == 1)) continue;
        group.run("step/adamw-averaged", true, List.of(ADAMW_AVERAGED), List.of(adamWAveraged()),
            model -> Step.of("AdamW without an average", Device.cpu(threads), model, adamW()));
        group.run("step/adamw-class", true, List.of(ADAMW), List.of(adamW()), Torch.Native::adamW);
        group.run("step/sgd", true, List.of("SGD, momentum"), List.of(momentum()), Torch.Native::sgd);
        group.run("step/lion", true, List.of("Lion"), List.of(lion()), Torch.Lion::new);
        group.run("step/schedule-free-adamw", true, List.of(SCHEDULE_FREE), List.of(scheduleFreeAdamW()),
            model -> Step.of(ADAMW_FIXED, Device.cpu(threads), model, adamW()));
        group.run("step/schedule-free-sgd", true, List.of("Schedule-Free SGD"), List.of(scheduleFreeSgd()),
            model -> Step.of("SGD, momentum, at a fixed rate", Device.cpu(threads), model, momentum()));
        group.run("step/mechanic", true,
            List.of(MECHANIC, MECHANIC + ", TORCH form"),
            List.of(mechanic(), authors(Mechanic.Delta.STORED)),
            model -> new TorchMechanic(model, true), model -> new TorchMechanic(model, false));
        // A twin's sums are 0, and where |s|_1 is 0 Prodigy makes no step.
        group.run("step/prodigy", false, List.of(PRODIGY), List.of(prodigy()), TorchProdigy::new);
        for (ForkedPeer peer : forked) if (peer.threads() == threads) group.forked(peer);
      }
    }
  }

  private static void checkPeers(Settings settings) {
    if (settings.wants("step/adamw")) {
      check(adamW(), Torch.FusedAdamW::new);
      check(adamW(), Torch.Native::adamW);
    }
    if (settings.wants("step/sgd")) check(momentum(), Torch.Native::sgd);
    if (settings.wants("step/lion")) check(lion(), Torch.Lion::new);
    if (settings.wants("step/prodigy")) check(prodigy(), TorchProdigy::new);
    if (settings.wants("step/mechanic")) {
      check(authors(Mechanic.Delta.STORED), model -> new TorchMechanic(model, true));
      check(authors(Mechanic.Delta.DISCOUNTED), model -> new TorchMechanic(model, false));
    }
  }

  private static void check(TunerBuilder<?> tuner, Function<Model, Torch.Peer> peer) {
    try (Model gradients = Model.of(Shapes.one(Check.SIZE));
        Step ours = Step.of("ours", Device.cpu(0), gradients.sharing(), tuner);
        Torch.Peer theirs = peer.apply(gradients.sharing())) {
      Check.same(gradients, ours, ours.model(), theirs, theirs.model);
    }
  }

  /** Contenders over the same shapes on the same threads. */
  record Group(Shapes shapes, int threads, Settings settings, Results results) {
    /** Ours, their twins (where they do what ours do), and peers, all in one group of rounds. */
    @SafeVarargs
    final void run(
        String id, boolean twins, List<String> names, List<TunerBuilder<?>> tuners, Function<Model, ? extends Contender>... peers) {
      if (!settings.wants(id)) return;
      Torch.threads(threads);
      final List<Contender> all = new ArrayList<>();
      try (Model gradients = Model.of(shapes)) {
        for (int i = 0; i < names.size(); ++i) all.add(Step.of(names.get(i), Device.cpu(threads), gradients.sharing(), tuners.get(i)));
        for (int i = 0; twins && i < names.size(); ++i)
          all.add(
              Step.of("twin", Device.fromLibrary(Streams.twinLibrary(), threads), gradients.sharing(), tuners.get(i)));
        for (Function<Model, ? extends Contender> peer : peers) all.add(peer.apply(gradients.sharing()));
        report(all, names.size(), twins);
      } finally {
        all.forEach(Contender::close);
      }
    }

    /** Ours against a peer in a JVM of its own. */
    void forked(ForkedPeer peer) {
      if (!settings.wants("step/" + peer.name())) return;
      try (Model gradients = Model.of(shapes);
          Step ours = Step.of(peer.ours(), Device.cpu(threads), gradients.sharing(), peer.tuner())) {
        peer.resize(shapes.elements());
        report(List.of(ours, peer), 1, false);
      }
    }

    /** Rows: each of ours once per peer (or once without one), then the peers' own times. */
    private void report(List<Contender> all, int ours, boolean twins) {
      final Rounds rounds = Rounds.of(all, settings);
      final int firstPeer = twins ? 2 * ours : ours;
      for (int i = 0; i < ours; ++i) {
        final Double fraction = twins ? rounds.ratio(ours + i, i) : null;
        final Step step = (Step) all.get(i);
        final double time = rounds.time(i);
        final double words = step.words();
        for (int p = firstPeer; p < Math.max(all.size(), firstPeer + 1); ++p) {
          final boolean compared = p < all.size();
          results.add(
              new Row(step.name(), shapes.elements(), "float32", threads, Machine.cpu(), time, words,
                  words * 4 * shapes.elements() / time, fraction, compared ? all.get(p).name() : null,
                  compared ? rounds.ratio(i, p) : null, rounds.allocated(i)));
        }
      }
      for (int p = firstPeer; p < all.size(); ++p)
        results.add(
            new Row(all.get(p).name(), shapes.elements(), "float32", threads, Machine.cpu(), rounds.time(p), null, null, null, null,
                null, null));
    }
  }
}
