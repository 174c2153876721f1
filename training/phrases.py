"""What training asks in beside the wordings that the evaluation asks in: the cores of a question.

A core begins in lower case and has no mark; `phrasing.py` makes questions of it. {0} and {1} are
the names of the thing. No core may become a wording that is held out: a test draws many and looks.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cores:
    """The same thing as a question, by its name, as told of after "tell me", or as an order."""

    questions: str = ""
    nouns: str = ""
    clauses: str = ""
    orders: str = ""


# "shop" is the "who" of receipts, labels and lines.
CORES: dict[str, Cores] = {
    "total": Cores(
        """what is the total | what does everything come to | how much is it all together
        | how much do I have to pay | what is the amount due | what is the grand total
        | how much was charged | how much is owed | what is the final sum | what does it add up to
        | how much money is due | how much is due | what did it cost in all | what is the whole sum
        | how much is everything together | what sum has to be paid""",
        """the total | the grand total | the total amount | the amount due | the amount to pay
        | the final sum | the total price | the overall cost | the full amount | the sum due""",
        """how much it is in total | how much has to be paid | what everything costs together
        | what it comes to | how much is due | what the total is | what the final amount is""",
    ),
    "date": Cores(
        """what is the date | which day is it from | when was it made out | when was this issued
        | what date is given | which date is printed on it | what date is on this | when is it from
        | which date can you read | how is it dated | on which day was this written
        | what date does it show | which day does it name | what date do you see""",
        """the date | the printed date | the date of issue | the date on it | the day it is from
        | the date given | the day it was written""",
        """when this was written | which date is on it | when it was issued | what the date is
        | which day it is from | how it is dated | what date is printed""",
    ),
    "who": Cores(
        """who is the sender | who is this from | who made this out | who sends this
        | who has sent this | by whom was this sent | by whom was it issued | who sent it
        | who is named as the sender | who gave this out | what is the sender's name
        | what is the name of the sender | whose name stands as the sender | who does it come from
        | who is behind this""",
        """the sender | the name of the sender | the sender's name | the issuer
        | the one who sent it | the name of the issuer""",
        """who sent this | who it is from | who the sender is | who issued it | who wrote it
        | by whom it was sent | who it comes from""",
    ),
    "shop": Cores(
        """which shop is it | what is the shop called | who is the seller | where was it bought
        | what store is named | which store is this from | what is the name of the store
        | which business is it from | what is the merchant's name | which shop gave this out
        | who was paid | where did I shop | which company issued it | who is this from
        | what is the shop | which shop does this come from""",
        """the shop | the store | the name of the shop | the shop's name | the store's name
        | the name of the store | the seller | the merchant | the business name""",
        """which shop this is from | where this was bought | what the shop is called | who sold this
        | who issued it | which store it is | who it is from""",
    ),
    "to": Cores(
        """who is this for | who gets this | who should get it | who is meant to get this
        | to whom is it addressed | whose name is it addressed to | to whom does it go
        | who is it meant for | who is it sent to | who does it go to | who will receive this
        | who is named as the receiver | who is the addressee | who is the receiver
        | what is the name of the receiver""",
        """the addressee | the receiver | the name of the receiver | the recipient's name
        | the name it is addressed to | the name of the addressee""",
        """who it is for | who gets it | who should receive this | to whom it is addressed
        | who it was sent to | who it is meant for | who the addressee is""",
    ),
    "heading": Cores(
        """what is it titled | what is it called | what is the headline | what title is printed
        | how is it headed | what heading does it have | what is the title of this
        | what does the heading say | what does the title say | what is written as the heading
        | which heading can you read | which title does it bear | what is the title""",
        """the heading | the title | the headline | the page's title | the heading at the top
        | the title line | the words of the heading""",
        """what the heading is | what the title says | how it is headed | which title it has
        | what it is called | what the heading says""",
        """read the heading | read out the title | copy the title | read me the headline""",
    ),
    "price": Cores(
        """what is the price | how much does this cost | what does it cost | how much must I pay
        | what price is printed | what does it sell for | how much do they want for it
        | how much is this one | what is the cost | what price does it have | how much would it be
        | which price do you see | what am I asked to pay | how much is asked for it""",
        """the price | the cost | the price of it | the printed price | the selling price
        | the price on it | the amount it costs | the price asked""",
        """how much it costs | what it costs | how much it is | what the price is
        | how much I must pay | what it sells for""",
    ),
    "product": Cores(
        """what is the product | what is being sold | what is the product called | what is on sale
        | which article is this | what item is this | what kind of product is it | what is for sale
        | what is offered | what is the name of the product | what product is named
        | which product do you see | what are they selling | what product is it""",
        """the product | the name of the product | the product's name | the article
        | the name of the article | the thing being sold | the item for sale""",
        """what is being sold | what the product is | which product this is | what is on sale
        | what the product is called | what they sell""",
    ),
    "key": Cores(
        """what is {0} | what is given as the {0} | what is entered for {0} | what is the {0}
        | what stands next to {0} | what is printed next to {0} | what does the {0} field say
        | what is the value of {0} | which entry does {0} have | what is filled in for {0}
        | what do you read for {0} | what has been put down for {0} | what follows {0}
        | what does it give as the {0} | what comes after {0} | what is the {0} set to
        | what does it say next to {0} | which {0} is given""",
        """the {0} | the value of {0} | the entry for {0} | the text beside {0} | the {0} value
        | the value beside {0} | the contents of {0} | the {0} field | the value given for {0}""",
        """what the {0} is | what it says beside {0} | what is given for {0} | which value {0} has
        | what is printed next to {0} | what was entered for {0} | what stands beside {0}""",
        """read the {0} | read out the {0} | find the {0} | check the {0} | copy the {0}""",
    ),
    "item": Cores(
        """what is the price of {0} | what did {0} cost | how much did the {0} cost
        | how much does the {0} cost | how much was the {0} | what was paid for {0}
        | what is charged for {0} | how much is charged for the {0} | what does the {0} come to
        | what amount stands beside {0} | what do I pay for the {0} | how much for {0}
        | how much for the {0} | what is the amount of {0} | what does {0} sell for""",
        """the price of {0} | the cost of the {0} | the amount for {0} | the price of the {0}
        | the {0} price | the amount beside {0} | the sum for {0}""",
        """what {0} costs | how much the {0} is | how much was paid for {0} | how much {0} cost
        | what was charged for the {0} | what the {0} cost""",
    ),
    "cell": Cores(
        """what {1} does {0} have | which {1} belongs to {0} | what is {0}'s {1}
        | what is the {1} for {0} | which {1} is listed for {0} | what is in the {1} column for {0}
        | what is in the {1} column of the row {0} | for {0}, what is the {1}
        | which {1} does {0} have | what is entered under {1} in the row {0}
        | what is given as the {1} of {0} | what is the value of {1} for {0}
        | what does {0} have under {1} | which value is under {1} in the row of {0}
        | what does it say under {1} for {0} | under {1}, what is written for {0}""",
        """the {1} of {0} | the {1} for {0} | {0}'s {1} | the {1} in the row {0}
        | the value under {1} for {0} | the entry for {0} under {1} | the cell at {0} and {1}""",
        """what the {1} of {0} is | which {1} {0} has | what stands under {1} for {0}
        | what is in the {1} column for {0} | which {1} goes with {0}""",
        """find the {1} of {0} | read the {1} in the row {0} | read the {1} of {0}""",
    ),
    "row": Cores(
        """which row shows {0} under {1} | which line has {0} as its {1} | what has the {1} {0}
        | which row says {0} for {1} | for which row is the {1} {0} | in which row is {0} the {1}
        | which entry has {0} in the {1} column | whose {1} is given as {0}
        | which one is listed with the {1} {0} | where does it say {0} under {1}
        | where is {0} in the {1} column | what goes with the {1} {0} | which row is it with {1} {0}
        | which one has {0} for its {1}""",
        """the row with {0} under {1} | the one with the {1} {0} | the row whose {1} is {0}
        | the entry with {0} in the {1} column | the name of the row with the {1} {0}""",
        """which row has the {1} {0} | whose {1} is {0} | which one has {0} under {1}
        | where the {1} is {0} | in which row the {1} is {0}""",
        """find the row with {0} under {1} | name the row whose {1} is {0}""",
    ),
    "count": Cores(
        """how many {0} are here | how many {0} does it have | how many {0} does it list
        | how many {0} have been printed | what is the number of {0} | how many {0} in all
        | how many {0} are shown | how many {0} can you count | how many {0} does it hold
        | how many {0} altogether | how many {0} are on it | how many {0} can be counted""",
        """the number of {0} | the count of {0} | the total number of {0} | the exact number of {0}
        | the number of all the {0}""",
        """how many {0} there are | how many {0} it has | how many {0} are listed
        | how many {0} you can count | how many {0} are shown""",
        """count the {0} | count how many {0} there are | count all the {0} | count up the {0}
        | say how many {0} there are""",
    ),
    "bar": Cores(
        """what is {0}'s value | how tall is the bar of {0} | what value does {0} reach
        | how much is {0} | what number stands at {0} | what does {0} come to
        | which value does {0} have | how far does {0} reach | what does the bar of {0} show
        | what is the figure for {0} | how many does {0} have | what value is shown for {0}
        | which figure belongs to {0} | what number does {0} have | how high does {0} go""",
        """the value of {0} | the number for {0} | the figure for {0} | the height of {0}
        | the value of the bar {0} | {0}'s value | the number at {0}""",
        """how high {0} is | what value {0} has | how much {0} is | which number belongs to {0}
        | what the bar of {0} shows | how tall the bar {0} is""",
        """read the value of {0} | find the number for {0} | read off {0}""",
    ),
    "highest": Cores(
        """which bar is tallest | which is the highest | which one has the most | which is largest
        | what stands highest | which bar reaches furthest | which has the greatest value
        | which bar is the biggest | which is the top one | which one is the greatest
        | what has the most | which bar beats all others | what has the largest number
        | which label has the highest bar | which value is the highest one's""",
        """the highest bar | the tallest bar | the largest one | the biggest one
        | the one with the highest value | the bar with the largest value
        | the label of the highest bar""",
        """which bar is the highest | which one is the largest | what has the most
        | which one is on top | what has the highest value | which bar is tallest""",
        """name the highest bar | find the tallest bar | name the one with the most""",
    ),
    "lowest": Cores(
        """which bar is smallest | which is the lowest | which one has the least | which is smallest
        | what stands lowest | which bar is the least high | which has the least value
        | which bar is the smallest | which is the bottom one | what has the least
        | which bar is below all others | what has the smallest number
        | which label has the lowest bar | which one is the lowest""",
        """the lowest bar | the smallest bar | the smallest one | the lowest one
        | the one with the lowest value | the bar with the smallest value
        | the label of the lowest bar""",
        """which bar is the lowest | which one is the smallest | what has the least
        | which one is the least | what has the lowest value | which bar is smallest""",
        """name the lowest bar | find the smallest bar | name the one with the least""",
    ),
    "switch": Cores(
        """is {0} turned on | is {0} set | is {0} ticked | is {0} checked | is {0} selected
        | is the {0} option on | is {0} currently on | has {0} been turned on
        | has {0} been switched on | has {0} been enabled | is {0} in use | is the switch {0} on
        | is the switch for {0} on | has {0} been set | is {0} chosen""",
        clauses="""whether {0} is on | if {0} is on | whether {0} is switched on
        | whether {0} is enabled | if {0} has been turned on | whether {0} has been chosen
        | if {0} is enabled | whether {0} is set""",
        orders="""check whether {0} is on | see if {0} is switched on
        | say whether {0} is enabled""",
    ),
    "command": Cores(
        """what was run | which command was entered | what command is shown | what did someone type
        | what command stands after the prompt | what has been typed in | what was entered
        | which command do you see | what is the command | what command was given
        | what was executed | which command has been run | what is typed at the prompt""",
        """the command | the command that was run | the typed command | the text after the prompt
        | the command line | the command that was typed""",
        """which command was run | what was typed | what the command is | what was entered
        | which command you see""",
        """read the command | read out the command | type the command | copy the command
        | repeat the command | quote the command""",
    ),
    "line": Cores(
        """what does line {0} say | what is on line {0} | what stands in line {0} | what is line {0}
        | what is written in line {0} | what does line number {0} say | how does line {0} read
        | which words are in line {0} | what do you read in line {0} | what is printed in line {0}
        | what does the line with number {0} say""",
        """line {0} | line number {0} | the words of line {0} | the contents of line {0}""",
        """what line {0} says | what is in line {0} | what stands in line {0} | how line {0} reads
        | what is written on line {0}""",
        """read line {0} | read out line {0} | type line {0} | copy line {0} | transcribe line {0}
        | quote line {0} | read me line {0} | write out line {0} | repeat line {0}""",
    ),
    "read": Cores(
        """what does it say | what is written | what is printed here | what does the text say
        | what does all of it say | what text is there | what text do you see | what can you read
        | what is the whole text | which words are printed""",
        """the text | the whole text | the full text | all the text | everything that is written
        | every word | the complete text | the printed words""",
        """what it says | what is written | what the text says | everything it says
        | what is printed""",
        """read it | read the text | read everything | read it all | read all of it | transcribe it
        | transcribe the text | write down the text | copy the text | type the text | read this out
        | give back the text line by line | copy out all the words | write out what it says
        | repeat what is printed | read out every line""",
    ),
    "there": Cores(
        """is "{0}" on it | is "{0}" there | does it contain "{0}" | does the text contain "{0}"
        | is "{0}" written here | is "{0}" written anywhere | is "{0}" to be found
        | can "{0}" be read here | do you see "{0}" | does "{0}" stand here | does "{0}" occur
        | do you find "{0}" | is "{0}" mentioned | does it mention "{0}" | does "{0}" show up""",
        clauses="""whether "{0}" is there | if "{0}" is printed | whether it says "{0}"
        | if it says "{0}" anywhere | whether "{0}" is on it | if "{0}" can be seen
        | whether "{0}" is mentioned""",
        orders="""check whether "{0}" is there | see if it says "{0}"
        | look whether "{0}" is printed""",
    ),
    "dearer": Cores(
        """which costs more | which is dearer | which of the two costs more | which one is pricier
        | which of the two is dearer | which of them is more expensive | which is the dearer one
        | which picture has the higher price | which picture has the larger amount
        | which is the more expensive one | is the first or the second dearer
        | does the first or the second cost more | which would cost me more
        | which one asks for more money | where is the amount higher""",
        """the dearer one | the more expensive one | the one that costs more
        | the dearer of the two | the picture with the higher amount | the more costly one""",
        """which one is dearer | which one costs more | which of the two is more expensive
        | where the amount is higher | whether the first or the second is dearer""",
    ),
    "cheaper": Cores(
        """which costs less | which is cheaper | which of the two costs less
        | which is the cheaper one | which of the two is cheaper | which of them is less expensive
        | which picture has the lower price | which picture has the smaller amount
        | which is the less expensive one | is the first or the second cheaper
        | does the first or the second cost less | which would cost me less
        | which one asks for less money | where is the amount lower""",
        """the cheaper one | the less expensive one | the one that costs less
        | the cheaper of the two | the picture with the lower amount | the less costly one""",
        """which one is cheaper | which one costs less | which of the two is less expensive
        | where the amount is lower | whether the first or the second is cheaper""",
    ),
    "call": Cores(
        orders="""save the {0} | store the {0} | keep the {0} | record the {0} | remember the {0}
        | make a note of the {0} | put the {0} away | write down the {0} | call {1} with the {0}
        | use {1} for the {0} | use {1} to save the {0} | call {1} on the {0} | pass the {0} to {1}
        | give the {0} to {1} | send the {0} to {1} | store the {0} with {1}
        | save the {0} using {1} | put the {0} into {1} | run {1} with the {0}
        | invoke {1} with the {0} | call {1} and give it the {0} | save the {0} by calling {1}""",
    ),
}
