import { useEffect, useState } from "react";
import type { Status } from "second-look-client";

const SAYS: Record<Status["stage"], string> = {
  waking: "The Space is asleep; it is being woken. This takes a minute or two.",
  building: "The Space is being built.",
  starting: "The Space is starting.",
  queued: "The film is in the queue.",
  running: "The network is looking at the film.",
};
const STAGES = Object.keys(SAYS) as Status["stage"][];

/** The stages as a line of dots, the present one in words, and when the next try is due. */
export function Waiting({ status, onCancel }: { status: Status | undefined; onCancel: () => void }) {
  const now = status ? STAGES.indexOf(status.stage) : -1;
  return (
    <div className="waiting">
      <ol>
        {STAGES.map((stage, n) => (
          <li key={stage} aria-current={n === now ? "step" : undefined} className={n < now ? "past" : ""}>
            {n === now ? status?.text : stage}
          </li>
        ))}
      </ol>
      <p>
        {status ? SAYS[status.stage] : "The film is being sent."}
        {status?.retryInMs !== undefined && <Countdown key={status.attempt} ms={status.retryInMs} />}
      </p>
      <button type="button" onClick={onCancel}>
        Cancel
      </button>
    </div>
  );
}

/** Not read aloud every second. */
function Countdown({ ms }: { ms: number }) {
  const [left, setLeft] = useState(Math.ceil(ms / 1000));
  useEffect(() => {
    const timer = setInterval(() => setLeft((seconds) => Math.max(0, seconds - 1)), 1000);
    return () => clearInterval(timer);
  }, []);
  return <span aria-hidden="true"> Next try in {left} s.</span>;
}
