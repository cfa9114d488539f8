"""Who may call the gateways: their callers file, which each batch writes anew, and the accounts' keys."""

import copy
import os

import limits
import plan_limits

HEADER = "x-forwarded-client-cert"


def identity(name):
    return f"spiffe://chaos/{name}"


class Access:
    """The accounts, and the limits of the batch that runs."""

    accounts = plan_limits.ACCOUNTS
    DRIVER = "driver"  # may do all; everything that belongs to no trial

    def __init__(self, folder):
        self.folder = folder
        self.path = os.path.join(folder, "callers.yaml")
        self.keys_file = os.path.join(folder, "sandbox-keys")  # as the sandbox takes them
        keys = [f"contiguity_sk_chaos{at}" for at, _ in enumerate(self.accounts)]
        self._write(self.keys_file, "".join(key + "\n" for key in keys))
        for account, key in zip(self.accounts, keys):
            self._write(self._key_file(account), key)
        self.before = {account: limits.Sums() for account in self.accounts}  # by the ledger
        self.account_limits = {account: {} for account in self.accounts}
        self.buyers = []
        self.rules = {}
        self._write_callers("none")

    @staticmethod
    def metadata(caller):
        return ((HEADER, f"URI={identity(caller)}"),)

    def begin(self, seed, first, trials, now):
        """Writes down the limits of a batch; `now`: in seconds since 1970. Blocks.

        Returns the name of a caller that the new file has and no other.
        """
        self.account_limits = copy.deepcopy(plan_limits.draw_accounts(seed, first))
        for account, spending in self.account_limits.items():
            self._allow_for(spending, self.before[account], int(now // limits.DAY))
        self.buyers = [buyer for trial in trials for buyer in trial.buyers]
        self.rules = {("account", account): spending
                      for account, spending in self.account_limits.items()}
        for buyer in self.buyers:
            if buyer.spending:
                self.rules["caller", buyer.name] = buyer.spending
            for account, spending in buyer.spending_on.items():
                self.rules["caller_on_account", buyer.name, account] = spending
        canary = f"batch-{first}"
        self._write_callers(canary)
        return canary

    @staticmethod
    def _allow_for(spending, sums, day):
        """What was bought today is beside what is drawn."""
        spending["purchases_per_day"] += sums.purchases[day]
        for currency, money in spending["currencies"].items():
            if "money_per_day" in money:
                money["money_per_day"] += sums.spent[currency, day] / 1_000_000

    def end(self, ledger, prices):
        """What a batch has bought is before the next."""
        for entry in ledger:
            self.before[entry.account].follow(entry, prices[entry.number])

    def names(self):
        return {self.DRIVER, *[buyer.name for buyer in self.buyers]}

    def _key_file(self, account):
        return os.path.join(self.folder, f"key-{account}")

    def _write_callers(self, canary):
        self._write(self.path, self.text(canary))

    def text(self, canary):
        """The callers file. `canary`: a caller that this one has and no other."""
        lines = ["accounts:"]
        for account in self.accounts:
            lines += [f"  - name: {account}", f"    key_file: {self._key_file(account)}"]
            if self.account_limits[account]:
                lines.append(f"    spending: {_flow(self.account_limits[account])}")
        lines += ["roles:", "  reader: [read]",
                  "  all: [read, watch, lease, terminate, configure, see_all_operations, administer]",
                  "callers:"]
        lines += self._caller(self.DRIVER, "all", self.accounts)
        lines += self._caller(canary, "reader", self.accounts)
        for buyer in self.buyers:
            lines += self._caller(buyer.name, "all", self.accounts)
            if buyer.spending:
                lines.append(f"    spending: {_flow(buyer.spending)}")
            if buyer.spending_on:
                lines.append(f"    spending_on: {_flow(buyer.spending_on)}")
        return "\n".join(lines) + "\n"

    @staticmethod
    def _caller(name, role, accounts):
        return [f"  - name: {name}", f"    match: {{spiffe: {identity(name)}}}",
                f"    roles: {_flow({account: f'[{role}]' for account in accounts})}"]

    @staticmethod
    def _write(path, text):
        """Whoever reads it sees the old one or the new one."""
        with open(path + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path + ".new", 0o600)
        os.replace(path + ".new", path)


def _flow(value):
    """A mapping as YAML on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, float):
        return f"{value:.6f}".rstrip("0").rstrip(".")
    return str(value)


def prices_of(slots):
    """Number → limits.Price."""
    prices = {}
    for slot, numbers in enumerate(slots):
        for at, number in enumerate(numbers):
            currency, fee, rate = plan_limits.price(slot, at)
            prices[number] = limits.Price(currency, fee * 1_000_000, rate * 1_000_000)
    return prices

