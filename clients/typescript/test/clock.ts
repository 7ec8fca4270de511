/** Time that passes as it is slept through: five minutes in an instant. */
export class FakeClock {
  time = 0;
  readonly slept: number[] = [];
  readonly random = () => 0.999;

  readonly now = () => this.time;

  readonly sleep = async (ms: number, signal: AbortSignal) => {
    signal.throwIfAborted();
    this.slept.push(ms);
    this.time += ms;
    await new Promise((resolve) => setTimeout(resolve, 1));
    signal.throwIfAborted();
  };
}
