// What the operators' pages need. They are there without it; this keeps them up to date and draws the charts.
import htmx from "htmx.org";
import { startActions } from "./dashboard/actions";
import { startCharts } from "./dashboard/charts";
import { startForms } from "./dashboard/forms";
import { startLines } from "./dashboard/lines";
import { startLive } from "./dashboard/live";
import { startRollout } from "./dashboard/rollout";
import { startTimes } from "./dashboard/times";
import { startThemeSwitch } from "./theme";

// What is new is put into what is there: what somebody has opened, focused or selected stays so.
htmx.config.morphIgnore = ["data-htmx-powered", "open"];
// What is answered instead of a panel, by whoever, is none.
htmx.config.noSwap = [204, 304, "4xx", "5xx"] as unknown as number[];

startThemeSwitch();
startTimes();
startActions();
startForms();
startLines();
startRollout();
// Charts are drawn, and news asked for, once the page itself is painted. (One that nobody sees is not painted.)
if (document.hidden) follow();
else requestAnimationFrame(() => setTimeout(follow));

function follow() {
  startCharts();
  startLive();
}
